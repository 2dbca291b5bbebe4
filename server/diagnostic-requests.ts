import type { ServerConfig } from "#config/server.ts";
import type { Catalogues } from "#protocol/uds/catalogue.ts";
import type { Db } from "#server/database/connection.ts";
import type { Revocations } from "#server/diagnostic-sessions/revoke.ts";
import { captureRoutes } from "#server/diagnostics/capture-routes.ts";
import { createDelivery } from "#server/diagnostics/delivery.ts";
import { denyWaiting, takeDecision, tell } from "#server/diagnostics/ending.ts";
import { createFeed } from "#server/diagnostics/feed.ts";
import { expireRequests } from "#server/diagnostics/queries.ts";
import { followOtherGateways } from "#server/diagnostics/other-gateways.ts";
import { diagnosticRoutes } from "#server/diagnostics/routes.ts";
import { recheck } from "#server/diagnostics/service.ts";
import { diagnosticTopics } from "#server/diagnostics/topics.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { DiagnosticRights } from "./diagnostic-rights.ts";

export interface DiagnosticRequestsDeps extends DiagnosticRights {
  db: Db;
  /** How often what other gateways do is looked for; undefined where there is none. */
  everyMs: number | undefined;
  mqtt: Mqtt;
  config: ServerConfig;
  catalogues: Catalogues;
  revocations: Revocations;
  metrics: Metrics;
  log: Log;
}

/** Single requests to ECUs, from the operator to the answer. */
export function composeDiagnosticRequests(base: DiagnosticRequestsDeps) {
  const { db, approvals, revocations } = base;
  const feed = createFeed();
  const delivery = createDelivery({
    ...base,
    feed,
    recheck: (request) => recheck(db, request),
  });
  const deps = { ...base, config: base.config.diagnostics, feed, delivery };
  const { everyMs } = base;
  const unfollow = everyMs === undefined ? () => {} : followOtherGateways(deps, everyMs);
  approvals.onDecided(async ({ subject_kind, subject, ...decision }) => {
    if (subject_kind === "request") await takeDecision(deps, subject, decision);
  });
  revocations.onRevoked(async ({ vin, operator, token_id, cause, reason, changed_at }) => {
    const whose = {
      until: changed_at,
      ...(vin !== null && { vin }),
      ...(operator !== null && { requested_by: operator }),
      ...(token_id !== null && { token_id }),
    };
    const code = cause === "revoked" ? "REVOKED" : "OPERATOR_REVOKED";
    await denyWaiting(deps, whose, { code, message: reason });
    // A vehicle that all of it is ended for hears of that as a whole.
    if (operator !== null || token_id !== null) delivery.forget(whose);
  });
  return {
    routes: [diagnosticRoutes(deps), captureRoutes(deps)],
    topics: diagnosticTopics(deps),
    /** Ends requests whose time is over. @returns how many */
    async expire(): Promise<number> {
      const expired = await expireRequests(db);
      tell(deps, expired, "expired");
      return expired.length;
    },
    stop(): void {
      unfollow();
      delivery.stop();
      feed.stop();
    },
  };
}
