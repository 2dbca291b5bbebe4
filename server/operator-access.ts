import type { ServerConfig } from "#config/server.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import type { Http } from "#server/http/http.ts";
import { createRateLimit } from "#server/http/rate-limit.ts";
import { accountRoutes } from "#server/operators/account-routes.ts";
import { authRoutes } from "#server/operators/auth-routes.ts";
import { createAuthenticate } from "#server/operators/external.ts";
import { ensureFirstAdmin } from "#server/operators/first-admin.ts";
import { createIssuer } from "#server/operators/issuer.ts";
import { createLogins } from "#server/operators/login.ts";
import { createPasswords } from "#server/operators/password.ts";
import { operatorRoutes } from "#server/operators/routes.ts";
import type { RevokedToken } from "#server/operators/session-queries.ts";
import { createSessions } from "#server/operators/sessions.ts";
import type { Log } from "#server/runtime/log.ts";

export interface OperatorAccessDeps {
  db: Db;
  config: Pick<ServerConfig, "operators" | "oidc">;
  audit: AuditLog;
  log: Log;
}

/** Who operators are, how they get in, and what they call with. */
export function composeOperators({ db, config, audit, log }: OperatorAccessDeps) {
  const { access_min, idle_h, session_h, password_min, temporary_password_h, logins_per_minute } =
    config.operators;
  const times = {
    accessS: Math.round(access_min * 60),
    idleS: Math.round(idle_h * 3600),
    wholeS: Math.round(session_h * 3600),
  };
  const issuer = config.oidc.issuer === "" ? undefined : createIssuer({ config: config.oidc, log });
  const passwords = createPasswords();
  return {
    authenticate: createAuthenticate(db, issuer),
    firstAdmin: () => ensureFirstAdmin(db, passwords),
    /** @param onTokenRevoked ends what was begun with a token */
    routes(
      onTokenRevoked: (token: RevokedToken) => Promise<void>,
    ): ((http: Http) => Promise<void>)[] {
      const base = { db, audit, passwords, passwordMin: password_min, onTokenRevoked };
      const sessions = createSessions({ ...base, times });
      const logins = createLogins({ ...base, sessions });
      const limit = createRateLimit(logins_per_minute);
      return [
        authRoutes({ ...base, sessions, logins, issuer, limit }),
        accountRoutes({ ...base, temporaryS: Math.round(temporary_password_h * 3600) }),
        operatorRoutes(base),
      ];
    },
  };
}
