import Type from "typebox";
import { sql } from "kysely";
import type { Db } from "#server/database/connection.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import { text } from "./answers.ts";
import type { Http } from "./http.ts";

const tags = ["health"];
const Health = Type.Object({
  status: Type.Literal("ok"),
  state: Type.Enum(["IDLE", "PROCESSING", "HANDLING", "MAINTENANCE"]),
  in_flight: Type.Object({
    https: Type.Integer(),
    mqtt: Type.Integer(),
    maintenance: Type.Integer(),
  }),
});
const Ready = Type.Object({ status: Type.Literal("ready") });
const Unready = Type.Object({ status: Type.Literal("database unreachable") });

export interface HealthDeps {
  db: Db;
  metrics: Metrics;
  state: StateTracker;
}

/** `/healthz`: the process lives, and its state. `/readyz`: it can do its work. `/metrics`. */
export function healthRoutes({ db, metrics, state }: HealthDeps) {
  const config = { access: { by: "anyone" }, probe: true } as const;
  return async (http: Http): Promise<void> => {
    http.get(
      "/healthz",
      {
        config,
        schema: {
          tags,
          operationId: "getHealth",
          summary: "The process lives; its state and the work under way",
          response: { 200: Health },
        },
      },
      async () => ({ status: "ok", state: state.state(), in_flight: state.inFlight() }) as const,
    );

    http.get(
      "/readyz",
      {
        config,
        schema: {
          tags,
          operationId: "getReadiness",
          summary: "The gateway can do its work",
          response: { 200: Ready, 503: Unready },
        },
      },
      async (_, reply) => {
        try {
          await sql`select 1`.execute(db);
          return { status: "ready" } as const;
        } catch {
          return reply.code(503).send({ status: "database unreachable" });
        }
      },
    );

    http.get(
      "/metrics",
      {
        config,
        schema: {
          tags,
          operationId: "getMetrics",
          summary: "Metrics as Prometheus reads them",
          response: { 200: text("Metrics", "text/plain") },
        },
      },
      async (_, reply) =>
        reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    );
  };
}
