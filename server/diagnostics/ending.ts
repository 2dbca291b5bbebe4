import { ProblemError } from "#protocol/api/problem.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import type { Operator } from "#server/http/access.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Delivery } from "./delivery.ts";
import { isOpen, type Feed } from "./feed.ts";
import {
  endUnsent,
  endUnsentRequest,
  releaseRequest,
  requestById,
  type RequestName,
  type Whose,
} from "./queries.ts";
import type { DiagnosticError } from "./table.ts";

export interface EndingDeps {
  db: Db;
  mqtt: Mqtt;
  audit: AuditLog;
  delivery: Delivery;
  feed: Feed;
  metrics: Metrics;
}

/**
 * Gives up a request: one that has not been sent ends as cancelled; the vehicle is asked to forget
 * one that has, which it does unless its ECU has been asked.
 * @returns whether it has ended
 * @throws ProblemError DIAGNOSTIC_UNKNOWN, DIAGNOSTIC_ENDED, ROLE_REQUIRED
 */
export async function cancelRequest(
  { db, mqtt, audit, feed, metrics }: EndingDeps,
  operator: Operator,
  requestId: string,
): Promise<boolean> {
  const request = await requestById(db, requestId);
  if (request === undefined) throw new ProblemError("DIAGNOSTIC_UNKNOWN", requestId);
  if (!isOpen(request.status)) throw new ProblemError("DIAGNOSTIC_ENDED", request.status);
  if (request.requested_by !== operator.name && operator.role !== "admin")
    throw new ProblemError("ROLE_REQUIRED", "only an admin cancels what somebody else has asked");
  const { vin, ecu_id } = request;
  const who = { actor: `operator:${operator.name}`, vin, subject: requestId };
  await audit.append({ ...who, action: "diagnostics.cancelled", ecu_id: ecu_id ?? undefined });
  const error = { code: "CANCELLED", message: `cancelled by ${operator.name}` };
  if (await endUnsentRequest(db, requestId, "cancelled", error)) {
    tell({ feed, metrics }, [{ request_id: requestId, vin, ecu_id }], "cancelled");
    return true;
  }
  mqtt.send(vin, "diagnostics/control", { kind: "cancel_request", request_id: requestId });
  return false;
}

/** Ends all that waits of a vehicle, an operator or the fleet, because it may not be any more. */
export async function denyWaiting(
  { db, audit, feed, metrics }: EndingDeps,
  whose: Whose,
  error: DiagnosticError,
): Promise<void> {
  const denied = await endUnsent(db, whose, "denied", error);
  tell({ feed, metrics }, denied, "denied");
  await Promise.all(
    denied.map(({ request_id, vin }) =>
      audit.append({
        actor: "gateway",
        action: "diagnostics.denied",
        vin,
        subject: request_id,
        detail: { ...error },
      }),
    ),
  );
}

/** Lets a request go on that was waiting for an approval, or ends it. */
export async function takeDecision(
  { db, delivery, feed, metrics }: EndingDeps,
  requestId: string,
  decision: { approved: boolean; decided_by: string },
): Promise<void> {
  const request = await requestById(db, requestId);
  if (request === undefined) return;
  const { vin, ecu_id } = request;
  if (decision.approved) {
    if (!(await releaseRequest(db, requestId, decision.decided_by))) return;
    feed.publish({ request_id: requestId, vin, ecu_id, status: "queued" });
    delivery.pump(vin);
    return;
  }
  const message = `${decision.decided_by} has not approved it`;
  const error = { code: "APPROVAL_REFUSED", message };
  if (await endUnsentRequest(db, requestId, "denied", error))
    tell({ feed, metrics }, [{ request_id: requestId, vin, ecu_id }], "denied");
}

/** Tells listeners and metrics of requests that have ended without an answer. */
export function tell(
  { feed, metrics }: Pick<EndingDeps, "feed" | "metrics">,
  ended: readonly RequestName[],
  status: "denied" | "cancelled" | "expired",
): void {
  if (ended.length > 0) metrics.diagnostics.inc({ status }, ended.length);
  for (const request of ended) feed.publish({ ...request, status });
}
