import { toHex } from "#protocol/bytes/hex.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { DiagnosticRequest, DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Feed } from "./feed.ts";
import { createFlights, freePlaces, hopsOf, type Flight, type Way } from "./in-flight.ts";
import {
  awaitedRequest,
  claimRequests,
  finishRequest,
  insertRequest,
  noteAttempt,
  notePending,
  requeueRequest,
  type End,
  type NewRequest,
  type SentRequest,
} from "./queries.ts";
import { outcomeOf, outcomeOfSilence } from "./request.ts";

export interface Delivery {
  /**
   * Stores a request and sends it, at once or when the vehicle comes back. Resolves when it is
   * stored. @returns false when there is a request with its idempotency key already
   */
  submit(request: NewRequest, way: Way): Promise<boolean>;
  /** Sends what waits for a vehicle, in the background, if it is listening. */
  pump(vin: string): void;
  /** Takes a vehicle's answer. @returns false when nobody waits for it */
  answer(vin: string, response: DiagnosticResponse): Promise<boolean>;
  /** The ECU has said that its answer will come. */
  pending(vin: string, requestId: string): Promise<void>;
  /** Gives up waiting; what is open is ended by maintenance. */
  stop(): void;
}

export interface DeliveryDeps {
  db: Db;
  mqtt: Mqtt;
  audit: AuditLog;
  feed: Feed;
  metrics: Metrics;
  log: Log;
  /** Throws the ProblemError that forbids a request which has waited, if something does now. */
  recheck: (request: SentRequest) => Promise<void>;
}

/**
 * Sends requests to vehicles and takes their answers. The database says what a request has come to;
 * what is kept here are the time-outs and places of those under way.
 */
export function createDelivery(deps: DeliveryDeps): Delivery {
  const { db, mqtt, audit, feed, metrics, log } = deps;
  const vehicles = createFlights();
  let stopped = false;

  async function end(request: NewRequest, ended: End): Promise<boolean> {
    const isFirst = await finishRequest(db, request, ended);
    if (isFirst) {
      metrics.diagnostics.inc({ status: ended.status });
      feed.publish({ ...request, status: ended.status });
    }
    return isFirst;
  }

  /** Sends an attempt that has been noted. @returns false when the vehicle doesn't take it now */
  async function transmit(request: SentRequest, way: Way): Promise<boolean> {
    const sent = mqtt.send(request.vin, "diagnostics", message(request));
    if (sent === "sent" || sent === "sent_once") {
      const timer = setTimeout(() => inBackground(silence(flight)), request.timeout_ms);
      const flight: Flight = { request, way: { ...way, sent: performance.now() }, timer };
      vehicles.of(request.vin).flights.set(request.request_id, flight);
      feed.publish({ ...request, status: "sent" });
      return true;
    }
    if (request.expires_at.getTime() > Date.now()) {
      vehicles.of(request.vin).backlog = true;
      await requeueRequest(db, request.request_id);
      feed.publish({ ...request, status: "queued" });
    } else {
      await end(request, { status: "network_error", responses: [], error: unsent[sent] });
    }
    return false;
  }

  /** An attempt that nothing came back from in time. */
  async function silence({ request, way }: Flight): Promise<void> {
    const verdict = outcomeOfSilence(request.timeout_ms, request.attempts < request.max_attempts);
    land(request);
    if (verdict === "retry") await again(request, way);
    else {
      await keep(request, undefined, [], verdict.error);
      await end(request, { ...verdict, hops: hopsOf(way, performance.now(), performance.now()) });
    }
    pump(request.vin);
  }

  async function again(request: SentRequest, way: Way): Promise<void> {
    const next = { ...request, attempts: request.attempts + 1 };
    if (stopped || !(await noteAttempt(db, request.request_id, next.attempts))) return;
    await transmit(next, way);
  }

  function land({ vin, request_id }: NewRequest): void {
    const { flights } = vehicles.of(vin);
    clearTimeout(flights.get(request_id)?.timer);
    flights.delete(request_id);
    vehicles.tidy(vin);
  }

  /** What came back goes into the audit before anything depends on it. */
  async function keep(
    request: Pick<NewRequest, "vin" | "request_id" | "request_data" | "ecu_id">,
    response: DiagnosticResponse | undefined,
    answers: { ecu_id: string; response_data: string }[],
    error: object | undefined,
  ): Promise<void> {
    const entry = {
      actor: response === undefined ? "gateway" : `vehicle:${request.vin}`,
      action: "diagnostics.answer",
      vin: request.vin,
      subject: request.request_id,
      request: request.request_data,
    };
    const detail = {
      ...(response && { attempt: response.attempt }),
      ...(response?.interlock && { interlock: response.interlock }),
      ...(error && { error }),
    };
    if (answers.length === 0)
      await audit.append({ ...entry, ...(request.ecu_id && { ecu_id: request.ecu_id }), detail });
    await Promise.all(
      answers.map(({ ecu_id, response_data }) =>
        audit.append({ ...entry, ecu_id, response: Buffer.from(response_data, "hex"), detail }),
      ),
    );
  }

  function pump(vin: string): void {
    const vehicle = vehicles.of(vin);
    if (vehicle.pumping || stopped || mqtt.connection(vin) === undefined) {
      vehicles.tidy(vin);
      return;
    }
    vehicle.pumping = true;
    inBackground(
      sendWaiting(vin).finally(() => {
        vehicle.pumping = false;
        vehicles.tidy(vin);
      }),
    );
  }

  async function sendWaiting(vin: string): Promise<void> {
    const vehicle = vehicles.of(vin);
    while (vehicle.backlog && !stopped) {
      const places = freePlaces(vehicle);
      if (places === 0) return;
      // Before the query: a request that is stored during it says so again.
      vehicle.backlog = false;
      const due = await claimRequests(db, vin, places);
      if (due.length === places) vehicle.backlog = true;
      let isTaken = true;
      for (const request of due) isTaken = (await sendChecked(request)) && isTaken;
      if (!isTaken) return;
    }
  }

  async function sendChecked(request: SentRequest): Promise<boolean> {
    try {
      await deps.recheck(request);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const { code, message } = error;
      await deps.audit.append({
        ...asked(request),
        action: "diagnostics.denied",
        detail: { code },
      });
      await end(request, { status: "denied", responses: [], error: { code, message } });
      return true;
    }
    return transmit(request, { queued_ms: Date.now() - request.created_at.getTime() });
  }

  const inBackground = (work: Promise<unknown>) => {
    work.catch((error: unknown) => {
      if (!stopped) log.error({ err: error }, "Diagnostic requests could not be handled");
    });
  };

  mqtt.whenListening("diagnostics", (vin) => {
    vehicles.of(vin).backlog = true;
    pump(vin);
  });
  mqtt.whenAcknowledged("diagnostics", (vin, payload) => {
    const { request_id } = JSON.parse(payload.toString()) as { request_id: string };
    const flight = vehicles.flight(vin, request_id);
    if (flight) flight.way.acknowledged ??= performance.now();
  });

  return {
    async submit(request, way) {
      const { vin } = request;
      const vehicle = vehicles.of(vin);
      const mayOvertakeNone = !vehicle.backlog && !vehicle.pumping;
      const isDirect =
        mqtt.connection(vin) !== undefined && mayOvertakeNone && freePlaces(vehicle) > 0;
      if (isDirect) vehicle.reserved += 1;
      try {
        // Where nothing may wait, an attempt to send it tells why it can't go.
        const isNow = isDirect || request.expires_at.getTime() <= Date.now();
        const created_at = await insertRequest(db, request, isNow ? "sent" : "queued");
        if (created_at === undefined) return false;
        const stored = performance.now();
        feed.publish({ ...request, status: isNow ? "sent" : "queued" });
        const sent = { ...request, created_at, attempts: 1, approved_by: null };
        if (isNow) await transmit(sent, { ...way, stored });
        else vehicle.backlog = true;
      } finally {
        if (isDirect) vehicle.reserved -= 1;
      }
      pump(vin);
      return true;
    },
    pump(vin) {
      vehicles.of(vin).backlog = true;
      pump(vin);
    },
    async answer(vin, response) {
      const answered = performance.now();
      const { request_id, attempt } = response;
      const stored = await awaitedRequest(db, vin, request_id);
      if (stored === undefined || isOfAnother(response, stored)) return false;
      const flight = vehicles.flight(vin, request_id);
      const more = flight !== undefined && attempt < stored.max_attempts;
      const named = stored.ecu_id === null ? response : { ...response, ecu_id: stored.ecu_id };
      const outcome = outcomeOf(named, more);
      if (outcome === "retry") {
        // The failure of an earlier attempt must not cut the present one short.
        if (flight === undefined || attempt !== flight.request.attempts) return true;
        land(flight.request);
        await again(flight.request, flight.way);
        return true;
      }
      const request = { ...stored, vin, request_id };
      await keep(request, response, outcome.responses, outcome.error);
      const hops = hopsOf(flight?.way ?? {}, answered, performance.now(), response);
      const { interlock } = response;
      const { responses, status, error } = outcome;
      const isFirst = await finishRequest(db, request, {
        status,
        responses,
        error,
        interlock,
        hops,
      });
      if (flight) land(flight.request);
      if (isFirst) {
        metrics.diagnostics.inc({ status });
        feed.publish({ request_id, vin, ecu_id: stored.ecu_id, status });
      }
      pump(vin);
      return isFirst;
    },
    async pending(vin, requestId) {
      if (await notePending(db, vin, requestId))
        feed.publish({ request_id: requestId, vin, ecu_id: null, status: "pending" });
    },
    stop() {
      stopped = true;
      for (const { timer } of vehicles.all()) clearTimeout(timer);
    },
  };
}

const unsent = {
  offline: { code: "VEHICLE_OFFLINE", message: "the vehicle is not connected" },
  busy: { code: "VEHICLE_BUSY", message: "the vehicle does not take what was sent to it before" },
};

/** What the audit says of a request that is made, or refused. */
export function asked(request: {
  vin: string;
  request_id: string;
  ecu_id: string | null;
  zone_id: string | null;
  session_id: string | null;
  request_data: Buffer;
  requested_by: string;
}) {
  const { vin, request_id, ecu_id, zone_id, session_id, request_data, requested_by } = request;
  const detail = { zone_id: zone_id ?? undefined, session_id: session_id ?? undefined };
  return {
    actor: `operator:${requested_by}`,
    vin,
    subject: request_id,
    request: request_data,
    ...(ecu_id !== null && { ecu_id }),
    ...((zone_id !== null || session_id !== null) && { detail }),
  };
}

/** An answer in the name of an ECU that was not asked is none. */
function isOfAnother(response: DiagnosticResponse, asked: { ecu_id: string | null }): boolean {
  return asked.ecu_id !== null && response.ecu_id !== undefined && response.ecu_id !== asked.ecu_id;
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
