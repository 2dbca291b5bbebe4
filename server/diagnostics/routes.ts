import { randomUUIDv7 } from "node:crypto";
import type { FastifyReply } from "fastify";
import Type from "typebox";
import {
  DiagnosticBroadcast,
  DiagnosticResult,
  DiagnosticSend,
  DiagnosticStatus,
} from "#protocol/api/diagnostics.ts";
import { EcuId, Uuid, VehicleId, ZoneId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { Instant } from "#protocol/mqtt/instant.ts";
import { callingOperator, diagnosticRoles } from "#server/http/access.ts";
import { eventStreams } from "#server/http/event-stream.ts";
import { EventStream } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { operatorById } from "#server/operators/queries.ts";
import { cancelRequest, type EndingDeps } from "./ending.ts";
import { liveResults } from "./live-results.ts";
import { isOpen } from "./feed.ts";
import { requestById } from "./queries.ts";
import { listResults, resultById } from "./result-queries.ts";
import { broadcastDiagnostic, sendDiagnostic, type Call, type DiagnosticDeps } from "./service.ts";

const tags = ["diagnostics"];
const Accepted = Type.Object({ request_id: Uuid, status: DiagnosticStatus });
const WaitMs = Type.Integer({
  minimum: 0,
  maximum: 60_000,
  default: 0,
  description: "Wait up to this long for the request to end",
});
const Filter = {
  vin: Type.Optional(VehicleId),
  ecu_id: Type.Optional(EcuId),
  zone_id: Type.Optional(ZoneId),
  status: Type.Optional(DiagnosticStatus),
  session_id: Type.Optional(Uuid),
  requested_by: Type.Optional(Type.String({ maxLength: 64 })),
  service_id: Type.Optional(
    Type.String({ pattern: "^(0[xX])?[0-9A-Fa-f]{2}$", description: "UDS service id" }),
  ),
  from: Type.Optional(Instant),
  to: Type.Optional(Instant),
};

export function diagnosticRoutes(deps: DiagnosticDeps & EndingDeps) {
  return async (http: Http): Promise<void> => {
    sending(http, deps);
    results(http, deps);
    oneResult(http, deps);
  };
}

function sending(http: Http, deps: DiagnosticDeps): void {
  const config = {
    access: { by: "operator", roles: diagnosticRoles },
    audit: "own",
  } as const;
  const response = { 200: DiagnosticResult, 202: Accepted };

  /** Makes a request, and waits for its result if the operator wants to. */
  async function answer(
    make: (call: Call) => Promise<string>,
    reply: FastifyReply,
    waitMs = 0,
  ): Promise<FastifyReply> {
    const call = { request_id: randomUUIDv7(), received: performance.now() - reply.elapsedTime };
    const found = new AbortController();
    // From before it is made: it may end before anybody could look.
    const ended = deps.feed.ended(call.request_id, waitMs, found.signal);
    try {
      const request_id = await make(call);
      const isEarlier = request_id !== call.request_id;
      if (!isEarlier) await ended;
      const result = await resultAfter(deps, request_id, isEarlier ? waitMs : 0);
      if (waitMs > 0 && result.completed_at !== null) return reply.code(200).send(result);
      return reply.code(202).send({ request_id, status: result.status });
    } finally {
      found.abort();
    }
  }

  http.post(
    "/diagnostics/send",
    {
      config,
      schema: {
        tags,
        summary: "Sends a UDS request to one ECU; read the result by its request_id",
        body: DiagnosticSend,
        response,
      },
    },
    async (request, reply) => {
      const operator = callingOperator(request);
      const make = (call: Call) => sendDiagnostic(deps, operator, request.body, call);
      return answer(make, reply, request.body.wait_ms);
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
        response,
      },
    },
    async (request, reply) => {
      const operator = callingOperator(request);
      const make = (call: Call) => broadcastDiagnostic(deps, operator, request.body, call);
      return answer(make, reply, request.body.wait_ms);
    },
  );
}

function results(http: Http, deps: DiagnosticDeps): void {
  const { db, catalogues, feed } = deps;
  const access = { by: "operator" } as const;
  const streams = eventStreams(http);

  http.get(
    "/diagnostics/results",
    {
      config: { access },
      schema: {
        tags,
        summary: "Requests and their results, newest first",
        querystring: Type.Object({ ...PageQuery(Uuid).properties, ...Filter }),
        response: { 200: Page(DiagnosticResult) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        await listResults(deps, { ...query, limit: query.limit + 1 }),
        (row) => row.request_id,
      ),
  );

  http.get(
    "/diagnostics/results/events",
    {
      exposeHeadRoute: false,
      config: { access, stream: true },
      schema: {
        tags,
        summary: "Results as they change, as server-sent events; Last-Event-ID resumes",
        response: { 200: EventStream },
        querystring: Type.Object(Filter),
        headers: Type.Object({
          "last-event-id": Type.Optional(Type.String({ pattern: "^[0-9]{1,18}$" })),
        }),
      },
    },
    async (request, reply) => {
      const { token_id } = callingOperator(request);
      const after = request.headers["last-event-id"];
      return streams.send(
        reply,
        (signal) => liveResults({ db, catalogues, feed }, request.query, after, signal),
        async () => (await operatorById(db, token_id)) !== undefined,
      );
    },
  );
}

function oneResult(http: Http, deps: DiagnosticDeps & EndingDeps): void {
  const params = Type.Object({ request_id: Uuid });

  http.get(
    "/diagnostics/results/:request_id",
    {
      config: { access: { by: "operator" } },
      schema: {
        tags,
        summary: "A request and its result",
        params,
        querystring: Type.Object({ wait_ms: WaitMs }),
        response: { 200: DiagnosticResult },
      },
    },
    async ({ params: { request_id }, query }) => resultAfter(deps, request_id, query.wait_ms),
  );

  http.post(
    "/diagnostics/results/:request_id/cancel",
    {
      config: { access: { by: "operator", roles: diagnosticRoles }, audit: "own" },
      schema: {
        tags,
        summary: "Gives up a request, if its ECU has not been asked yet",
        params,
        response: { 200: DiagnosticResult, 202: DiagnosticResult },
      },
    },
    async (request, reply) => {
      const { request_id } = request.params;
      const ended = await cancelRequest(deps, callingOperator(request), request_id);
      return reply.code(ended ? 200 : 202).send(await resultAfter(deps, request_id, 0));
    },
  );
}

/** A request's result when it has ended, or as it stands after `waitMs`. */
async function resultAfter(
  deps: DiagnosticDeps,
  requestId: string,
  waitMs: number,
): Promise<DiagnosticResult> {
  const found = new AbortController();
  const ended = deps.feed.ended(requestId, waitMs, found.signal);
  try {
    const before = waitMs === 0 ? undefined : await requestById(deps.db, requestId);
    if (before !== undefined && isOpen(before.status)) await ended;
    const result = await resultById(deps, requestId);
    if (result === undefined) throw new ProblemError("DIAGNOSTIC_UNKNOWN", requestId);
    return result;
  } finally {
    found.abort();
  }
}
