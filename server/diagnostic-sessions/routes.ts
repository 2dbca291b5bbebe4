import Type from "typebox";
import {
  DiagnosticRevoke,
  DiagnosticSession,
  SessionRequest,
  SessionStatus,
  SessionTakeover,
} from "#protocol/api/diagnostic-session.ts";
import { EcuId, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator, diagnosticRoles, type Operator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { asSession, listSessions, sessionById, type SessionRow } from "./queries.ts";
import type { Revocations } from "./revoke.ts";
import type { Sessions } from "./service.ts";

export interface SessionRouteDeps {
  db: Db;
  sessions: Sessions;
  revocations: Revocations;
  audit: AuditLog;
}

const tags = ["diagnostics"];
const Id = Type.Object({ session_id: Uuid });
const acting = {
  access: { by: "operator", roles: diagnosticRoles },
  audit: "own",
} as const;

export function sessionRoutes(deps: SessionRouteDeps) {
  return async (http: Http): Promise<void> => {
    handling(http, deps);
    reading(http, deps);
    revoking(http, deps);
  };
}

function handling(http: Http, { sessions }: SessionRouteDeps): void {
  const answered = { 201: DiagnosticSession, 202: DiagnosticSession };
  const codeOf = ({ status }: SessionRow) => (status === "open" || status === "ended" ? 201 : 202);

  http.post(
    "/diagnostics/sessions",
    {
      config: acting,
      schema: {
        tags,
        summary: "Keeps an ECU for its operator, in a UDS session that stays up",
        body: SessionRequest,
        response: answered,
      },
    },
    async (request, reply) => {
      const row = await sessions.open(callingOperator(request), request.body);
      return reply.code(codeOf(row)).send(asSession(row));
    },
  );

  http.post(
    "/diagnostics/sessions/:session_id/takeover",
    {
      config: acting,
      schema: {
        tags,
        summary: "Ends the session of a lower role and opens one's own on the same ECU",
        params: Id,
        body: SessionTakeover,
        response: answered,
      },
    },
    async (request, reply) => {
      const { session_id } = request.params;
      const row = await sessions.takeOver(callingOperator(request), session_id, request.body);
      return reply.code(codeOf(row)).send(asSession(row));
    },
  );

  http.delete(
    "/diagnostics/sessions/:session_id",
    {
      config: acting,
      schema: {
        tags,
        summary: "Ends a diagnostic session",
        params: Id,
        response: { 200: DiagnosticSession },
      },
    },
    async (request) =>
      asSession(await sessions.close(callingOperator(request), request.params.session_id)),
  );
}

function reading(http: Http, { db }: SessionRouteDeps): void {
  const config = { access: { by: "operator" } } as const;

  http.get(
    "/diagnostics/sessions",
    {
      config,
      schema: {
        tags,
        summary: "Diagnostic sessions, newest first",
        querystring: Type.Object({
          ...PageQuery(Uuid).properties,
          vin: Type.Optional(VehicleId),
          ecu_id: Type.Optional(EcuId),
          operator: Type.Optional(Type.String({ maxLength: 64 })),
          status: Type.Optional(SessionStatus),
        }),
        response: { 200: Page(DiagnosticSession) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        await listSessions(db, { ...query, limit: query.limit + 1 }),
        (row) => row.session_id,
      ),
  );

  http.get(
    "/diagnostics/sessions/:session_id",
    {
      config,
      schema: {
        tags,
        summary: "A diagnostic session",
        params: Id,
        response: { 200: DiagnosticSession },
      },
    },
    async ({ params }) => {
      const row = await sessionById(db, params.session_id);
      if (row === undefined) throw new ProblemError("SESSION_UNKNOWN", params.session_id);
      return asSession(row);
    },
  );
}

function revoking(http: Http, { revocations, audit }: SessionRouteDeps): void {
  http.post(
    "/diagnostics/revoke",
    {
      config: acting,
      schema: {
        tags,
        summary: "Ends remote diagnostics of a vehicle, an operator or the whole fleet at once",
        body: DiagnosticRevoke,
        response: { 200: Type.Object({ revocation_id: Uuid }) },
      },
    },
    async (request) => {
      const operator = callingOperator(request);
      const { vin, operator: whose, reason } = request.body;
      demandRight(operator, whose);
      const revoked_by = `operator:${operator.name}`;
      const named = {
        ...(vin === undefined ? {} : { vin }),
        ...(whose === undefined ? {} : { operator: whose }),
      };
      const detail = { ...named, reason };
      await audit.append({ actor: revoked_by, action: "diagnostics.revoked", vin, detail });
      const { revocation_id } = await revocations.revoke({
        ...named,
        cause: "revoked",
        reason,
        revoked_by,
      });
      return { revocation_id };
    },
  );
}

/** Who stands by a vehicle can end what they do themselves, and no more. */
function demandRight({ name, role }: Operator, whose: string | undefined): void {
  if (role === "diagnostician" && whose !== name) {
    throw new ProblemError("ROLE_REQUIRED", "a diagnostician may revoke only their own");
  }
}
