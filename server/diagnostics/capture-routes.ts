import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import Type from "typebox";
import { EcuId, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { Instant } from "#protocol/mqtt/instant.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { ExchangeFilter } from "#server/audit/queries.ts";
import type { Db } from "#server/database/connection.ts";
import { sessionById } from "#server/diagnostic-sessions/queries.ts";
import { callingOperator, diagnosticRoles, type Operator } from "#server/http/access.ts";
import { file } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { diagnosticCapture } from "./capture.ts";

const config = { access: { by: "operator", roles: diagnosticRoles } } as const;
const tags = ["diagnostics"];

/** Diagnostics as pcapng files, for Wireshark. */
export function captureRoutes({ db, audit }: { db: Db; audit: AuditLog }) {
  async function send(
    reply: FastifyReply,
    operator: Operator,
    filter: ExchangeFilter,
    name: string,
  ): Promise<FastifyReply> {
    const { vin, ecu_id, from, to } = filter;
    await audit.append({
      actor: `operator:${operator.name}`,
      action: "capture.exported",
      vin,
      ecu_id,
      detail: { from: from?.toISOString(), to: to?.toISOString() },
    });
    return reply
      .type("application/x-pcapng")
      .header("content-disposition", `attachment; filename="${name}.pcapng"`)
      .send(Readable.from(diagnosticCapture(db, filter), { objectMode: false }));
  }

  return async (http: Http): Promise<void> => {
    http.get(
      "/diagnostics/capture",
      {
        config,
        schema: {
          tags,
          summary: "What was said to a vehicle and what it answered, as pcapng",
          response: { 200: file("A pcapng file", "application/x-pcapng") },
          querystring: Type.Object({
            vin: VehicleId,
            ecu_id: Type.Optional(EcuId),
            from: Type.Optional(Instant),
            to: Type.Optional(Instant),
          }),
        },
      },
      async (request, reply) => {
        const { vin, ecu_id, from, to } = request.query;
        const filter = {
          vin,
          ecu_id,
          from: from === undefined ? undefined : new Date(from),
          to: to === undefined ? undefined : new Date(to),
        };
        return send(reply, callingOperator(request), filter, vin);
      },
    );

    http.get(
      "/diagnostics/sessions/:session_id/capture",
      {
        config,
        schema: {
          tags,
          summary: "A session, from its beginning to its end, as pcapng",
          params: Type.Object({ session_id: Uuid }),
          response: { 200: file("A pcapng file", "application/x-pcapng") },
        },
      },
      async (request, reply) => {
        const { session_id } = request.params;
        const session = await sessionById(db, session_id);
        if (session === undefined) throw new ProblemError("SESSION_UNKNOWN", session_id);
        const { vin, ecu_id, created_at, ended_at } = session;
        const filter = { vin, ecu_id, from: created_at, to: ended_at ?? undefined };
        return send(reply, callingOperator(request), filter, session_id);
      },
    );
  };
}
