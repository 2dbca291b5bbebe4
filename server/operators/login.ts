import type { Grant } from "#protocol/api/operator.ts";
import { ProblemError, type ProblemCode } from "#protocol/api/problem.ts";
import { RetryLater } from "#protocol/api/retry-later.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import { accountForLogin, setPassword, type LoginAccount } from "./account-queries.ts";
import { beginAttempt, endAttempts, takeBackAttempt } from "./login-queries.ts";
import { nameKey } from "./operator-name.ts";
import { isOutdated, judgePassword, type Passwords } from "./password.ts";
import { revokeSessions, type RevokedToken } from "./session-queries.ts";
import type { Sessions } from "./sessions.ts";
import { hashToken } from "./token.ts";

export interface LoginDeps {
  db: Db;
  passwords: Passwords;
  sessions: Sessions;
  passwordMin: number;
  onTokenRevoked: (token: RevokedToken) => Promise<void>;
}

export interface Credentials {
  name: string;
  password: string;
  /** Replaces it. */
  new_password?: string | undefined;
}

/** Logins by name and password. */
export function createLogins(deps: LoginDeps) {
  const { db, sessions } = deps;
  return {
    /**
     * @throws ProblemError LOGIN_REFUSED, LOGIN_LOCKED, LOGIN_BUSY, PASSWORD_CHANGE_REQUIRED,
     * PASSWORD_EXPIRED, PASSWORD_UNSUITABLE
     */
    async login(credentials: Credentials, source: string): Promise<Grant> {
      const { password, new_password } = credentials;
      const account = await demandAccount(deps, credentials, source);
      const { account_id, name } = account;
      let { password_hash } = account;
      if (new_password !== undefined) {
        password_hash = await changePassword(deps, account, { password, new_password });
      } else if (account.password_temporary) {
        throw new ProblemError("PASSWORD_CHANGE_REQUIRED");
      } else if (password_hash !== null && isOutdated(password_hash)) {
        const before = password_hash;
        password_hash = await deps.passwords.hash(password);
        await setPassword(db, account_id, { password_hash, password_temporary: false }, before);
      }
      const login = { account_id, name, source, by: "password", password_hash } as const;
      const granted = await sessions.begin(login);
      if (granted === undefined) throw new ProblemError("LOGIN_REFUSED");
      return granted;
    },

    /**
     * Replaces one's own password; other sessions end.
     * @throws ProblemError as above
     */
    async changeOwn(
      name: string,
      passwords: { password: string; new_password: string },
      { session_id, source }: { session_id: string; source: string },
    ): Promise<void> {
      const { password } = passwords;
      const account = await demandAccount(deps, { name, password }, source);
      await changePassword(deps, account, passwords, session_id);
    },
  };
}

export type Logins = ReturnType<typeof createLogins>;

async function demandAccount(
  deps: LoginDeps,
  { name, password }: Credentials,
  source: string,
): Promise<LoginAccount> {
  const { db, passwords } = deps;
  const key = nameKey(name);
  const hash = hashToken(key);
  const attempt = await beginAttempt(db, hash);
  if (!attempt.mayTry) throw new RetryLater("LOGIN_LOCKED", attempt.retryAfterS);
  const account = await accountForLogin(db, key);
  const isRight = await verify(passwords, password, account).catch(async (error: unknown) => {
    await takeBackAttempt(db, hash);
    throw error;
  });
  const code = !isRight || account === undefined ? "LOGIN_REFUSED" : "PASSWORD_EXPIRED";
  if (account === undefined || !isRight || account.password_expired) {
    await reportFailure(db, { account, source, locksUntil: attempt.locksUntil, code });
    throw new ProblemError(code);
  }
  await endAttempts(db, hash);
  return account;
}

async function verify(passwords: Passwords, password: string, account: LoginAccount | undefined) {
  return passwords.verify(password, account?.password_hash ?? null);
}

/** A name that nobody has is not written down: it may be a password in the wrong field. */
async function reportFailure(
  db: Db,
  of: {
    account: LoginAccount | undefined;
    source: string;
    locksUntil: Date | null;
    code: ProblemCode;
  },
): Promise<void> {
  const { account, source, locksUntil, code: reason } = of;
  const detail = { name: account?.name, source, reason, locked_until: locksUntil?.toISOString() };
  const subject = account?.account_id;
  const action = locksUntil === null ? "operator.login_failed" : "operator.locked";
  await db.transaction().execute(async (tx) => {
    if (account && locksUntil) {
      await emit(tx, { kind: "operator.locked", subject: account.account_id, data: detail });
    }
    await appendEntry(tx, { actor: "gateway", action, subject, detail });
  });
}

async function changePassword(
  { db, passwords, passwordMin, onTokenRevoked }: LoginDeps,
  { account_id, name, password_hash: before }: LoginAccount,
  { password, new_password }: { password: string; new_password: string },
  keepSession?: string,
): Promise<string> {
  if (password === new_password) {
    throw new ProblemError("PASSWORD_UNSUITABLE", "it is the one before");
  }
  judgePassword(new_password, { min: passwordMin, name });
  const password_hash = await passwords.hash(new_password);
  const ended = await db.transaction().execute(async (tx) => {
    const isSet = await setPassword(
      tx,
      account_id,
      { password_hash, password_temporary: false },
      before,
    );
    // Somebody has replaced the old one meanwhile.
    if (!isSet) throw new ProblemError("LOGIN_REFUSED");
    const revoked = await revokeSessions(tx, { account_id, except: keepSession });
    await appendEntry(tx, {
      actor: `operator:${name}`,
      action: "operator.password_changed",
      subject: account_id,
      detail: { sessions_ended: revoked.length },
    });
    return revoked;
  });
  for (const token of ended) await onTokenRevoked(token);
  return password_hash;
}
