import { randomUUIDv7 } from "node:crypto";
import type { Grant } from "#protocol/api/operator.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { appendEntry, type AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { lockLogin } from "./account-queries.ts";
import {
  insertSession,
  refreshSession,
  revokeReused,
  type RevokedToken,
  type SessionTimes,
} from "./session-queries.ts";
import { hashToken, newAccessToken, newRefreshToken, refreshTokenParts } from "./token.ts";

export interface SessionDeps {
  db: Db;
  audit: AuditLog;
  times: SessionTimes;
  /** Ends what was begun with them; the answer waits for it. */
  onTokenRevoked: (token: RevokedToken) => Promise<void>;
}

export interface Begin {
  account_id: string;
  name: string;
  source: string;
  by: "password" | "oidc";
  /** Of the password that was shown: what is replaced meanwhile begins nothing. */
  password_hash?: string | null;
  id_token_sha256?: Buffer;
}

/** Sessions that a login begins: short access tokens, and refresh tokens that are good once. */
export function createSessions({ db, audit, times, onTokenRevoked }: SessionDeps) {
  return {
    /**
     * Begins one, with its entry in the audit log.
     * @returns undefined when its ID token was good for another one before, or when its account was
     * disabled or given another password meanwhile
     */
    async begin(login: Begin): Promise<Grant | undefined> {
      const { by, password_hash, ...of } = login;
      const access = newAccessToken();
      const refresh = newRefreshToken();
      const session_id = randomUUIDv7();
      const isNew = await db.transaction().execute(async (tx) => {
        if (!(await lockLogin(tx, login.account_id, password_hash))) return false;
        const session = { ...of, ...hashesOf(access, refresh.token), token_id: session_id };
        if (!(await insertSession(tx, session, times))) return false;
        await appendEntry(tx, {
          actor: `operator:${login.name}`,
          action: "operator.login",
          subject: session_id,
          detail: { by, source: login.source, account_id: login.account_id },
        });
        return true;
      });
      return isNew ? grant(session_id, access, refresh.token) : undefined;
    },

    /**
     * The next access and refresh token of a session. A refresh token that comes a second time has
     * been stolen, from its owner or from the thief: neither keeps the session (RFC 9700 §4.14.2).
     * @throws ProblemError REFRESH_TOKEN_INVALID, REFRESH_TOKEN_REUSED
     */
    async refresh(token: string, source: string): Promise<Grant> {
      const parts = refreshTokenParts(token);
      if (parts === undefined) throw new ProblemError("REFRESH_TOKEN_INVALID");
      const access = newAccessToken();
      const next = newRefreshToken(parts.family);
      const { token_sha256, refresh_sha256, family_sha256 } = hashesOf(access, next.token);
      const old = { family_sha256, refresh_sha256: hashToken(parts.secret) };
      const fresh = { token_sha256, refresh_sha256, source };
      const id = await refreshSession(db, old, fresh, times);
      if (id !== undefined) return grant(id, access, next.token);
      const reused = await revokeReused(db, old);
      if (reused === undefined) throw new ProblemError("REFRESH_TOKEN_INVALID");
      await onTokenRevoked(reused);
      await audit.append({
        actor: "gateway",
        action: "operator.refresh_reused",
        subject: reused.token_id,
        detail: { name: reused.name, source },
      });
      throw new ProblemError("REFRESH_TOKEN_REUSED");
    },
  };

  function grant(session_id: string, access_token: string, refresh_token: string): Grant {
    const expires_in = times.accessS;
    return { access_token, token_type: "Bearer", expires_in, refresh_token, session_id };
  }
}

export type Sessions = ReturnType<typeof createSessions>;

function hashesOf(access: string, refresh: string) {
  const { family = "", secret = "" } = refreshTokenParts(refresh) ?? {};
  return {
    token_sha256: hashToken(access),
    family_sha256: hashToken(family),
    refresh_sha256: hashToken(secret),
  };
}
