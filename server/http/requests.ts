import type { FastifyReply, FastifyRequest } from "fastify";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import type { Http } from "./http.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Probes: neither logged nor counted as work. */
    probe?: boolean;
  }
}

/**
 * Keeps the server state, the request log and the request metrics. All by the end of the response
 * rather than by `onResponse`, which does not come when the client goes away in the middle.
 */
export function observeRequests(
  http: Http,
  { state, metrics, log }: { state: StateTracker; metrics: Metrics; log: Log },
): void {
  http.addHook("onRequest", async (request, reply) => {
    const began = performance.now();
    const { url: route = "unknown", config } = request.routeOptions;
    const isWork = !config?.probe && !config?.stream;
    const ended = isWork ? state.begin("https") : undefined;
    reply.raw.once("close", () => {
      ended?.();
      const ms = performance.now() - began;
      const status = reply.raw.writableFinished ? reply.raw.statusCode : "cut";
      metrics.httpRequests.observe({ method: request.method, route, status }, ms / 1000);
      if (!config?.probe) logRequest(log, request, reply, ms);
    });
  });
}

function logRequest(log: Log, request: FastifyRequest, { raw }: FastifyReply, ms: number): void {
  const { caller } = request;
  const facts = {
    status: raw.statusCode,
    ms: Math.round(ms),
    // The client went away, or was cut off, before it had the whole answer.
    cut: raw.writableFinished ? undefined : true,
    vehicle: caller?.kind === "vehicle" ? caller.vin : undefined,
    operator: caller?.kind === "operator" ? caller.operator.name : undefined,
  };
  log.info(facts, `[HTTPS] ${request.method} ${request.url}`);
}
