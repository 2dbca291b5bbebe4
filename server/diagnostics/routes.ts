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
import { serviceTable } from "#protocol/uds/service.ts";
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
    supportedServices(http);
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

function results(http: Http, { db, dispatcher }: DiagnosticDeps): void {
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
        await listResults(db, { ...query, limit: query.limit + 1 }),
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
      const result = await resultById(db, params.request_id);
      if (result === undefined) throw new ProblemError("DIAGNOSTIC_UNKNOWN", params.request_id);
      return result;
    },
  );
}

function supportedServices(http: Http): void {
  const Service = Type.Object({
    service_id: Type.String(),
    name: Type.String(),
    reads_only: Type.Boolean({ description: "Tried again when no answer came" }),
    sub_functions: Type.Array(Type.Object({ id: Type.String(), name: Type.String() })),
  });
  const hex = (id: number) => `0x${id.toString(16).toUpperCase().padStart(2, "0")}`;
  const services = serviceTable.map(({ sid, name, readsOnly, subFunctions }) => ({
    service_id: hex(sid),
    name,
    reads_only: readsOnly,
    sub_functions: [...(subFunctions ?? [])].map(([id, subName]) => ({
      id: hex(id),
      name: subName,
    })),
  }));

  http.get(
    "/diagnostics/supported-services",
    {
      config: { access: { by: "operator" } },
      schema: { tags, response: { 200: Type.Object({ services: Type.Array(Service) }) } },
    },
    async () => ({ services }),
  );
}
