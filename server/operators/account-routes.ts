import { randomUUIDv7 } from "node:crypto";
import Type from "typebox";
import type { FastifyRequest } from "fastify";
import { Uuid } from "#protocol/api/identifier.ts";
import {
  Account,
  AccountChange,
  NewAccount,
  OneTimePassword,
  OperatorSession,
  PasswordReset,
} from "#protocol/api/operator.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { callingOperator, isUnrestricted } from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import {
  accountById,
  deleteAccount,
  insertAccount,
  listAccounts,
  setPassword,
  updateAccount,
} from "./account-queries.ts";
import { endAttempts } from "./login-queries.ts";
import { nameKey, operatorName } from "./operator-name.ts";
import { judgePassword, randomPassword, type Passwords } from "./password.ts";
import { claimName } from "./queries.ts";
import { listSessions, liveTokens, revokeSessions, type RevokedToken } from "./session-queries.ts";
import { hashToken } from "./token.ts";

const tags = ["operators"];
const config = { access: { by: "operator", roles: ["admin"] }, audit: "own" } as const;
const AccountId = Type.Object({ account_id: Uuid });
const NewPassword = Type.Object({ ...Account.properties, ...OneTimePassword.properties });

export interface AccountDeps {
  db: Db;
  passwords: Passwords;
  passwordMin: number;
  /** How long a temporary password is good for, in seconds. */
  temporaryS: number;
  onTokenRevoked: (token: RevokedToken) => Promise<void>;
}

/** Accounts of operators; only an admin handles them, with a token that is for all an admin may. */
export function accountRoutes(deps: AccountDeps) {
  return async (http: Http): Promise<void> => {
    http.addHook("onRequest", async (request) => {
      if (request.method !== "GET" && request.method !== "HEAD") demandUnrestricted(request);
    });
    reading(http, deps);
    making(http, deps);
    resetting(http, deps);
    changing(http, deps);
    ending(http, deps);
  };
}

/** Whoever makes accounts can make one that may more than the token that it is made with. */
function demandUnrestricted(request: FastifyRequest): void {
  if (!isUnrestricted(callingOperator(request)))
    throw new ProblemError("SCOPE_REQUIRED", "needs *");
}

function reading(http: Http, { db }: AccountDeps): void {
  http.get(
    "/operators/accounts",
    {
      config,
      schema: {
        tags,
        summary: "Accounts by name",
        querystring: PageQuery(Type.String({ minLength: 1, maxLength: 64 })),
        response: { 200: Page(Account) },
      },
    },
    async ({ query }) => {
      const rows = await listAccounts(db, { ...query, limit: query.limit + 1 });
      return page(query.limit, rows, ({ name }) => name);
    },
  );

  http.get(
    "/operators/accounts/:account_id",
    {
      config,
      schema: { tags, summary: "An account", params: AccountId, response: { 200: Account } },
    },
    async ({ params }) => demandAccount(db, params.account_id),
  );

  http.get(
    "/operators/accounts/:account_id/sessions",
    {
      config,
      schema: {
        tags,
        summary: "Somebody's sessions that are not over, newest first",
        params: AccountId,
        querystring: PageQuery(Uuid),
        response: { 200: Page(OperatorSession) },
      },
    },
    async ({ params, query }) => {
      await demandAccount(db, params.account_id);
      const rows = await listSessions(db, params.account_id, { ...query, limit: query.limit + 1 });
      return page(query.limit, rows, ({ session_id }) => session_id);
    },
  );
}

function making(http: Http, { db, passwords, passwordMin, temporaryS }: AccountDeps): void {
  http.post(
    "/operators/accounts",
    {
      config,
      schema: {
        tags,
        summary: "Make an account; without a password one is made up",
        description:
          "Either password is temporary: the first login with it sets another, before password_expires_at.",
        body: NewAccount,
        response: { 201: NewPassword },
      },
    },
    async (request, reply) => {
      const { name: typed, display_name = null, role, diagnostic_level = null } = request.body;
      const { name, name_key } = operatorName(typed);
      const { password = randomPassword() } = request.body;
      judgePassword(password, { min: passwordMin, name });
      const password_hash = await passwords.hash(password);
      const account = { account_id: randomUUIDv7(), name, display_name, role, diagnostic_level };
      const made = await db.transaction().execute(async (tx) => {
        if (!(await claimName(tx, { name, name_key, kind: "account" }))) {
          throw new ProblemError("OPERATOR_NAME_TAKEN", name);
        }
        const password = { password_hash, password_temporary: true, password_life_s: temporaryS };
        await insertAccount(tx, { ...account, ...password });
        const shown = await demandAccount(tx, account.account_id);
        await enter(tx, request, "operator.created", account.account_id, account);
        return shown;
      });
      return reply.code(201).send({ ...made, password });
    },
  );
}

function resetting(http: Http, deps: AccountDeps): void {
  const { db, passwords, passwordMin, temporaryS: password_life_s, onTokenRevoked } = deps;
  http.post(
    "/operators/accounts/:account_id/password",
    {
      config,
      schema: {
        tags,
        operationId: "resetOperatorPassword",
        summary: "Replace somebody's password by a temporary one; their sessions end, locks go",
        params: AccountId,
        body: PasswordReset,
        response: { 200: OneTimePassword },
      },
    },
    async (request) => {
      const { account_id } = request.params;
      const { name, external } = await demandAccount(db, account_id);
      if (external) throw new ProblemError("OPERATOR_EXTERNAL");
      const { password = randomPassword() } = request.body;
      judgePassword(password, { min: passwordMin, name });
      const password_hash = await passwords.hash(password);
      const [password_expires_at, ended] = await db.transaction().execute(async (tx) => {
        const temporary = { password_hash, password_temporary: true, password_life_s };
        await setPassword(tx, account_id, temporary);
        await endAttempts(tx, hashToken(nameKey(name)));
        const revoked = await revokeSessions(tx, { account_id });
        const detail = { name, sessions_ended: revoked.length };
        await enter(tx, request, "operator.password_reset", account_id, detail);
        const reset = await demandAccount(tx, account_id);
        return [reset.password_expires_at, revoked] as const;
      });
      for (const token of ended) await onTokenRevoked(token);
      return { password, password_expires_at };
    },
  );
}

function changing(http: Http, { db, onTokenRevoked }: AccountDeps): void {
  http.patch(
    "/operators/accounts/:account_id",
    {
      config,
      schema: {
        tags,
        summary: "Change role, level, display name; disable or enable",
        description:
          "It holds at once, for sessions and tokens that there are. What they have begun by remote diagnostics ends when the role or the level changes; sessions end when the account is disabled.",
        params: AccountId,
        body: AccountChange,
        response: { 200: Account },
      },
    },
    async (request) => {
      const { account_id } = request.params;
      const { body } = request;
      const [after, ended] = await db.transaction().execute(async (tx) => {
        const before = await demandAccount(tx, account_id);
        const newRights = body.role !== undefined || body.diagnostic_level !== undefined;
        if (before.external && newRights) throw new ProblemError("OPERATOR_EXTERNAL");
        await updateAccount(tx, account_id, body);
        const changed = await demandAccount(tx, account_id);
        const tokens = await endedBy(tx, before, changed);
        await enter(tx, request, "operator.changed", account_id, { before, after: changed });
        return [changed, tokens] as const;
      });
      for (const token of ended) await onTokenRevoked(token);
      return after;
    },
  );
}

/** Tokens that end, or may no longer do what they did. */
async function endedBy(tx: Tx, before: Account, after: Account): Promise<RevokedToken[]> {
  const { account_id } = after;
  if (after.disabled) {
    // API tokens wait for the account to be enabled again.
    return [...(await revokeSessions(tx, { account_id })), ...(await liveTokens(tx, account_id))];
  }
  const isSame = before.role === after.role && before.diagnostic_level === after.diagnostic_level;
  return isSame ? [] : liveTokens(tx, account_id);
}

function ending(http: Http, { db, onTokenRevoked }: AccountDeps): void {
  http.delete(
    "/operators/accounts/:account_id",
    {
      config,
      schema: {
        tags,
        summary: "Delete an account with its sessions and tokens; nobody else gets its name",
        params: AccountId,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      const { account_id } = request.params;
      const ended = await db.transaction().execute(async (tx) => {
        const name = await deleteAccount(tx, account_id);
        if (name === undefined) throw new ProblemError("OPERATOR_UNKNOWN");
        const revoked = await revokeSessions(tx, { account_id, withApiTokens: true });
        await enter(tx, request, "operator.deleted", account_id, { name });
        return revoked;
      });
      for (const token of ended) await onTokenRevoked(token);
      return reply.code(204).send();
    },
  );

  http.delete(
    "/operators/accounts/:account_id/sessions/:session_id",
    {
      config,
      schema: {
        tags,
        summary: "End one of somebody's sessions",
        params: Type.Object({ account_id: Uuid, session_id: Uuid }),
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      const { account_id, session_id } = request.params;
      const [ended] = await db.transaction().execute(async (tx) => {
        const revoked = await revokeSessions(tx, { account_id, token_id: session_id });
        if (revoked.length === 0) throw new ProblemError("OPERATOR_SESSION_UNKNOWN");
        await enter(tx, request, "operator.session_revoked", session_id, { account_id });
        return revoked;
      });
      if (ended) await onTokenRevoked(ended);
      return reply.code(204).send();
    },
  );
}

async function demandAccount(db: Db, accountId: string): Promise<Account> {
  const account = await accountById(db, accountId);
  if (account === undefined) throw new ProblemError("OPERATOR_UNKNOWN");
  return account;
}

async function enter(
  tx: Tx,
  request: FastifyRequest,
  action: string,
  subject: string,
  detail: Record<string, unknown>,
): Promise<void> {
  const { name, token_id } = callingOperator(request);
  const entry = { actor: `operator:${name}`, action, subject, detail: { ...detail, token_id } };
  await appendEntry(tx, entry);
}
