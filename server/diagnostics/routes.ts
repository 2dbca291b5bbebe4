import Type from "typebox";
import {
  DiagnosticBroadcast,
  DiagnosticResult,
  DiagnosticSend,
  DiagnosticStatus,
} from "#protocol/api/diagnostics.ts";
import { EcuId, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { listResults, resultById } from "./queries.ts";
import { broadcastDiagnostic, sendDiagnostic, type DiagnosticDeps } from "./service.ts";

const tags = ["diagnostics"];
const Accepted = Type.Object({ request_id: Uuid, status: DiagnosticStatus });

export function diagnosticRoutes(deps: DiagnosticDeps) {
  return async (http: Http): Promise<void> => {
    sending(http, deps);
    results(http, deps);
  };
}

function sending(http: Http, deps: DiagnosticDeps): void {
  const config = { access: { by: "operator", roles: ["diagnostician"] } } as const;

  http.post(
    "/diagnostics/send",
    {
      config,
      schema: {
        tags,
        summary: "Sends a UDS request to one ECU; read the result by its request_id",
        body: DiagnosticSend,
        response: { 202: Accepted },
      },
    },
    async (request, reply) => {
      const request_id = await sendDiagnostic(deps, callingOperator(request).name, request.body);
      return reply.code(202).send({ request_id, status: "queued" });
    },
  );

  http.post(
    "/diagnostics/broadcast",
    {
      config,
      schema: {
        tags,
        summary: "Sends a UDS request to every ECU behind a zonal gateway",
        body: DiagnosticBroadcast,
        response: { 202: Accepted },
      },
    },
    async (request, reply) => {
      const request_id = await broadcastDiagnostic(
        deps,
        callingOperator(request).name,
        request.body,
      );
      return reply.code(202).send({ request_id, status: "queued" });
    },
  );
}

function results(http: Http, { db, dispatcher, catalogues }: DiagnosticDeps): void {
  const config = { access: { by: "operator" } } as const;

  http.get(
    "/diagnostics/results",
    {
      config,
      schema: {
        tags,
        querystring: Type.Object({
          ...PageQuery(Uuid).properties,
          vin: Type.Optional(VehicleId),
          ecu_id: Type.Optional(EcuId),
          status: Type.Optional(DiagnosticStatus),
        }),
        response: { 200: Page(DiagnosticResult) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        await listResults(db, catalogues, { ...query, limit: query.limit + 1 }),
        (row) => row.request_id,
      ),
  );

  http.get(
    "/diagnostics/results/:request_id",
    {
      config,
      schema: {
        tags,
        params: Type.Object({ request_id: Uuid }),
        querystring: Type.Object({
          wait_ms: Type.Integer({
            minimum: 0,
            maximum: 60_000,
            default: 0,
            description: "Wait up to this long for the request to end",
          }),
        }),
        response: { 200: DiagnosticResult },
      },
    },
    async ({ params, query }) => {
      await dispatcher.settled(params.request_id, query.wait_ms);
      const result = await resultById(db, catalogues, params.request_id);
      if (result === undefined) throw new ProblemError("DIAGNOSTIC_UNKNOWN", params.request_id);
      return result;
    },
  );
}
