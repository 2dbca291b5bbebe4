import Type from "typebox";
import type { FastifyRequest } from "fastify";
import { Uuid } from "#protocol/api/identifier.ts";
import {
  Grant,
  IdTokenLogin,
  Login,
  Myself,
  OperatorSession,
  PasswordChange,
  Refresh,
} from "#protocol/api/operator.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { RetryLater } from "#protocol/api/retry-later.ts";
import { appendEntry, type AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator, type Operator } from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import type { RateLimit } from "#server/http/rate-limit.ts";
import { externalLogin } from "./external.ts";
import type { Issuer } from "./issuer.ts";
import type { Logins } from "./login.ts";
import {
  accountOfSession,
  listSessions,
  revokeSessions,
  type RevokedToken,
} from "./session-queries.ts";
import type { Sessions } from "./sessions.ts";
import { hashToken } from "./token.ts";

const tags = ["auth"];
const anyone = { access: { by: "anyone" }, audit: "own" } as const;
const operator = { access: { by: "operator" }, audit: "own" } as const;

export interface AuthDeps {
  db: Db;
  audit: AuditLog;
  logins: Logins;
  sessions: Sessions;
  issuer: Issuer | undefined;
  /** Of logins and refreshes, by the address that they come from. */
  limit: RateLimit;
  onTokenRevoked: (token: RevokedToken) => Promise<void>;
}

/** Logging in and out, and what operators do about themselves. */
export function authRoutes(deps: AuthDeps) {
  return async (http: Http): Promise<void> => {
    await http.register(async (limited) => {
      limited.addHook("onRequest", async ({ ip }) => {
        const wait = deps.limit.take(ip);
        if (wait !== undefined) throw new RetryLater("LOGINS_TOO_MANY", wait);
      });
      limited.addHook("onSend", async (_request, reply) => {
        // RFC 6749 §5.1: nobody keeps tokens on the way.
        void reply.header("cache-control", "no-store");
      });
      logins(limited, deps);
      ownPassword(limited, deps);
    });
    myself(http);
    ownSessions(http, deps);
  };
}

function logins(http: Http, { audit, db, ...deps }: AuthDeps): void {
  http.post(
    "/auth/login",
    {
      config: anyone,
      schema: {
        tags,
        operationId: "login",
        summary: "Log in by name and password",
        description: "new_password replaces the password; a temporary one has to be.",
        body: Login,
        response: { 200: Grant },
      },
    },
    async ({ body, ip }) => deps.logins.login(body, ip),
  );

  http.post(
    "/auth/refresh",
    {
      config: anyone,
      schema: {
        tags,
        operationId: "refreshSession",
        summary: "The next access and refresh token of a session",
        description: "A refresh token is good once. One that comes again ends the session.",
        body: Refresh,
        response: { 200: Grant },
      },
    },
    async ({ body, ip }) => deps.sessions.refresh(body.refresh_token, ip),
  );

  http.post(
    "/auth/oidc",
    {
      config: anyone,
      schema: {
        tags,
        operationId: "loginByOidc",
        summary: "Log in by an ID token of the issuer; it is good once, right after it was made",
        body: IdTokenLogin,
        response: { 200: Grant },
      },
    },
    async ({ body, ip }) => {
      if (deps.issuer === undefined) throw new ProblemError("OIDC_OFF");
      try {
        const account = await externalLogin(db, await deps.issuer.verifyIdToken(body.id_token));
        const id_token_sha256 = hashToken(body.id_token);
        const login = { ...account, source: ip, by: "oidc", id_token_sha256 } as const;
        const granted = await deps.sessions.begin(login);
        if (granted === undefined) throw new ProblemError("TOKEN_INVALID", "it has been used");
        return granted;
      } catch (error) {
        const reason = error instanceof ProblemError ? error.code : "INTERNAL";
        const detail = { by: "oidc", source: ip, reason };
        await audit.append({ actor: "gateway", action: "operator.login_failed", detail });
        throw error;
      }
    },
  );
}

function ownPassword(http: Http, { db, logins }: AuthDeps): void {
  http.post(
    "/auth/password",
    {
      config: operator,
      schema: {
        tags,
        operationId: "changeOwnPassword",
        summary: "Replace one's own password; one's other sessions end",
        response: { 204: NoContent },
        body: PasswordChange,
      },
    },
    async (request, reply) => {
      const { token_id: session_id, name } = callingOperator(request);
      await demandSession(db, request);
      await logins.changeOwn(name, request.body, { session_id, source: request.ip });
      return reply.code(204).send();
    },
  );
}

function myself(http: Http): void {
  http.get(
    "/auth/me",
    {
      config: operator,
      schema: {
        tags,
        operationId: "getCaller",
        summary: "Who calls, and what they may do",
        response: { 200: Myself },
      },
    },
    async (request) => {
      const { token_id: _token, scopes = ["*"], ...me } = callingOperator(request);
      return { ...me, scopes: [...scopes] };
    },
  );
}

function ownSessions(http: Http, { db, onTokenRevoked }: AuthDeps): void {
  const end = async (caller: Operator, account_id: string, token_id: string) => {
    const [ended] = await db.transaction().execute(async (tx) => {
      const revoked = await revokeSessions(tx, { account_id, token_id });
      const action = token_id === caller.token_id ? "operator.logout" : "operator.session_revoked";
      if (revoked.length > 0) {
        await appendEntry(tx, { actor: `operator:${caller.name}`, action, subject: token_id });
      }
      return revoked;
    });
    if (ended === undefined) throw new ProblemError("OPERATOR_SESSION_UNKNOWN");
    await onTokenRevoked(ended);
  };

  http.post(
    "/auth/logout",
    {
      config: operator,
      schema: {
        tags,
        operationId: "logout",
        summary: "End the session that calls",
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      const caller = callingOperator(request);
      await end(caller, await demandSession(db, request), caller.token_id);
      return reply.code(204).send();
    },
  );

  http.get(
    "/auth/sessions",
    {
      config: operator,
      schema: {
        tags,
        summary: "One's own sessions that are not over, newest first",
        querystring: PageQuery(Uuid),
        response: { 200: Page(OperatorSession) },
      },
    },
    async (request) => {
      const { limit } = request.query;
      const account = await accountOfSession(db, callingOperator(request).token_id);
      if (account === undefined) return { items: [], next_cursor: null };
      const choice = { ...request.query, limit: limit + 1 };
      const rows = await listSessions(db, account.account_id, choice);
      return page(limit, rows, ({ session_id }) => session_id);
    },
  );

  http.delete(
    "/auth/sessions/:session_id",
    {
      config: operator,
      schema: {
        tags,
        summary: "End one of one's own sessions",
        params: Type.Object({ session_id: Uuid }),
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      const account_id = await demandSession(db, request);
      await end(callingOperator(request), account_id, request.params.session_id);
      return reply.code(204).send();
    },
  );
}

/** The account of the session that calls. @throws ProblemError LOGIN_REQUIRED */
async function demandSession(db: Db, request: FastifyRequest): Promise<string> {
  const account = await accountOfSession(db, callingOperator(request).token_id);
  if (account === undefined) throw new ProblemError("LOGIN_REQUIRED");
  return account.account_id;
}
