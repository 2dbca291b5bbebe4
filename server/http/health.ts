import Type from "typebox";
import { sql } from "kysely";
import type { Db } from "#server/database/connection.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import type { Http } from "./http.ts";

export interface HealthDeps {
  db: Db;
  metrics: Metrics;
  state: StateTracker;
}

/** `/healthz`: the process lives, and its state. `/readyz`: it can do its work. `/metrics`. */
export function healthRoutes({ db, metrics, state }: HealthDeps) {
  const config = { access: { by: "anyone" }, probe: true } as const;
  return async (http: Http): Promise<void> => {
    http.get("/healthz", { config, schema: { hide: true } }, async () => ({
      status: "ok",
      state: state.state(),
      in_flight: state.inFlight(),
    }));

    http.get(
      "/readyz",
      { config, schema: { hide: true, response: { 200: Type.Unknown(), 503: Type.Unknown() } } },
      async (_, reply) => {
        try {
          await sql`select 1`.execute(db);
          return { status: "ready" };
        } catch {
          return reply.code(503).send({ status: "database unreachable" });
        }
      },
    );

    http.get("/metrics", { config, schema: { hide: true } }, async (_, reply) =>
      reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    );
  };
}
