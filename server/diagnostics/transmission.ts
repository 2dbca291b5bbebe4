import { ProblemError } from "#protocol/api/problem.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { DiagnosticRequest, DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Feed } from "./feed.ts";
import { hopsOf, type createFlights, type Flight, type Way } from "./in-flight.ts";
import {
  finishRequest,
  noteAttempt,
  requeueRequest,
  type End,
  type NewRequest,
  type SentRequest,
} from "./queries.ts";
import { outcomeOfSilence } from "./request.ts";
import type { RawResponse } from "./table.ts";

export interface TransmissionDeps {
  db: Db;
  mqtt: Mqtt;
  audit: AuditLog;
  feed: Feed;
  metrics: Metrics;
  log: Log;
  /** Throws the ProblemError that forbids a request which has waited, if something does now. */
  recheck: (request: SentRequest) => Promise<void>;
}

/** What sending works with on this gateway. */
export interface Transmission extends TransmissionDeps {
  vehicles: ReturnType<typeof createFlights>;
  stopped: boolean;
  /** There is room again for what waits for a vehicle. */
  freed: (vin: string) => void;
  inBackground: (work: Promise<unknown>) => void;
}

const unsent = {
  offline: { code: "VEHICLE_OFFLINE", message: "the vehicle is not connected" },
  busy: { code: "VEHICLE_BUSY", message: "the vehicle does not take what was sent to it before" },
};

/** Sends an attempt that has been noted. @returns false when the vehicle doesn't take it now */
export async function transmit(
  work: Transmission,
  request: SentRequest,
  way: Way,
): Promise<boolean> {
  const { db, mqtt, feed, vehicles } = work;
  const { vin, request_id } = request;
  const sent = mqtt.send(vin, "diagnostics", message(request));
  if (sent === "sent" || sent === "sent_once") {
    const overdue = () => work.inBackground(silence(work, flight));
    const timer = setTimeout(overdue, request.timeout_ms);
    const flight: Flight = { request, way: { ...way, sent: performance.now() }, timer };
    vehicles.of(vin).flights.set(request_id, flight);
    feed.publish({ ...request, status: "sent" });
    return true;
  }
  if (request.expires_at.getTime() > Date.now()) {
    vehicles.of(vin).backlog = true;
    await requeueRequest(db, request_id);
    feed.publish({ ...request, status: "queued" });
  } else {
    await end(work, request, { status: "network_error", responses: [], error: unsent[sent] });
  }
  return false;
}

/** Sends it once more, if it has not ended meanwhile. */
export async function transmitAgain(
  work: Transmission,
  request: SentRequest,
  way: Way,
): Promise<void> {
  const next = { ...request, attempts: request.attempts + 1 };
  if (work.stopped || (await isForbidden(work, request))) return;
  if (!(await noteAttempt(work.db, request.request_id, next.attempts))) return;
  await transmit(work, next, way);
}

/** Ends a request that has waited and may not be sent any more. @returns false where it may */
export async function isForbidden(work: Transmission, request: SentRequest): Promise<boolean> {
  try {
    await work.recheck(request);
    return false;
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const { code, message } = error;
    const action = "diagnostics.denied";
    await work.audit.append({ ...asked(request), action, detail: { code } });
    await end(work, request, { status: "denied", responses: [], error: { code, message } });
    return true;
  }
}

/** An attempt that nothing came back from in time. */
async function silence(work: Transmission, { request, way }: Flight): Promise<void> {
  const verdict = outcomeOfSilence(request.timeout_ms, request.attempts < request.max_attempts);
  land(work, request);
  if (verdict === "retry") await transmitAgain(work, request, way);
  else {
    await auditAnswer(work.audit, request, { answers: [], error: verdict.error });
    const now = performance.now();
    await end(work, request, { ...verdict, hops: hopsOf(way, now, now) });
  }
  work.freed(request.vin);
}

/** It is not under way any more. */
export function land(
  { vehicles }: Transmission,
  { vin, request_id }: Pick<NewRequest, "vin" | "request_id">,
): void {
  const { flights } = vehicles.of(vin);
  clearTimeout(flights.get(request_id)?.timer);
  flights.delete(request_id);
  vehicles.tidy(vin);
}

/** @returns false when it had ended already */
export async function end(
  { db, feed, metrics }: Transmission,
  request: Pick<NewRequest, "vin" | "request_id" | "ecu_id">,
  ended: End,
): Promise<boolean> {
  const isFirst = await finishRequest(db, request, ended);
  if (isFirst) {
    const { vin, request_id, ecu_id } = request;
    metrics.diagnostics.inc({ status: ended.status });
    feed.publish({ vin, request_id, ecu_id, status: ended.status });
  }
  return isFirst;
}

/** What the audit log says of a request that is made, or refused. */
export function asked(
  request: Pick<
    NewRequest,
    "vin" | "request_id" | "ecu_id" | "zone_id" | "session_id" | "request_data" | "requested_by"
  >,
) {
  const { vin, request_id, ecu_id, zone_id, session_id, request_data, requested_by } = request;
  return {
    actor: `operator:${requested_by}`,
    vin,
    subject: request_id,
    request: request_data,
    ...(ecu_id !== null && { ecu_id }),
    ...((zone_id !== null || session_id !== null) && {
      detail: { zone_id: zone_id ?? undefined, session_id: session_id ?? undefined },
    }),
  };
}

/** What came back, or did not, goes into the audit log before anything depends on it. */
export async function auditAnswer(
  audit: AuditLog,
  request: Pick<NewRequest, "vin" | "request_id" | "request_data" | "ecu_id">,
  {
    response,
    answers,
    error,
  }: {
    response?: DiagnosticResponse;
    answers: readonly RawResponse[];
    error: object | undefined;
  },
): Promise<void> {
  const { vin, request_id, request_data } = request;
  const entry = {
    actor: response === undefined ? "gateway" : `vehicle:${vin}`,
    action: "diagnostics.answer",
    vin,
    subject: request_id,
    request: request_data,
    detail: { attempt: response?.attempt, interlock: response?.interlock, error },
  };
  if (answers.length === 0) await audit.append({ ...entry, ecu_id: request.ecu_id ?? undefined });
  await Promise.all(
    answers.map(({ ecu_id, response_data }) =>
      audit.append({ ...entry, ecu_id, response: Buffer.from(response_data, "hex") }),
    ),
  );
}

function message(request: SentRequest): DiagnosticRequest {
  const { request_id, ecu_id, zone_id, session_id, request_data, timeout_ms } = request;
  return {
    request_id,
    ...(ecu_id === null ? {} : { ecu_id }),
    ...(zone_id === null ? {} : { zone_id }),
    service_id: `0x${toHex(request_data.subarray(0, 1))}`,
    data: toHex(request_data.subarray(1)),
    timeout_ms,
    attempt: request.attempts,
    ...(session_id === null ? {} : { session_id }),
  };
}
