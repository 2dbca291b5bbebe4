import type { DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { createFlights, freePlaces, hopsOf, type Way } from "./in-flight.ts";
import {
  awaitedRequest,
  claimRequests,
  insertRequest,
  notePending,
  type NewRequest,
  type SentRequest,
  type Whose,
} from "./queries.ts";
import { outcomeOf } from "./request.ts";
import {
  auditAnswer,
  end,
  isForbidden,
  land,
  transmit,
  transmitAgain,
  type Transmission,
  type TransmissionDeps,
} from "./transmission.ts";

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
  /** Asks vehicles to forget what was sent to them, unless their ECUs have been asked. */
  forget(whose: Whose): void;
  /** Gives up waiting; what is open is ended by maintenance. */
  stop(): void;
}

interface Work extends Transmission {
  /** Requests whose end is being put on record: what else a vehicle says of them then is late. */
  ending: Set<string>;
}

/**
 * Sends requests to vehicles and takes their answers. The database says what a request has come to;
 * what is kept here are the time-outs and places of those under way.
 */
export function createDelivery(deps: TransmissionDeps): Delivery {
  const { mqtt, log } = deps;
  const work: Work = {
    ...deps,
    vehicles: createFlights(),
    ending: new Set(),
    stopped: false,
    freed: (vin) => pump(work, vin),
    inBackground(promise) {
      promise.catch((error: unknown) => {
        if (!work.stopped) log.error({ err: error }, "Diagnostic requests could not be handled");
      });
    },
  };
  const pumpAll = (vin: string) => {
    work.vehicles.of(vin).backlog = true;
    pump(work, vin);
  };
  mqtt.whenListening("diagnostics", pumpAll);
  mqtt.whenAcknowledged("diagnostics", (vin, payload) => {
    const { request_id } = JSON.parse(payload.toString()) as { request_id: string };
    const flight = work.vehicles.flight(vin, request_id);
    if (flight) flight.way.acknowledged ??= performance.now();
  });
  return {
    submit: (request, way) => submit(work, request, way),
    pump: pumpAll,
    answer: (vin, response) => answer(work, vin, response),
    async pending(vin, request_id) {
      const noted = await notePending(deps.db, vin, request_id);
      if (noted) deps.feed.publish({ ...noted, status: "pending" });
    },
    forget: (whose) => forget(work, whose),
    stop() {
      work.stopped = true;
      for (const { timer } of work.vehicles.all()) clearTimeout(timer);
    },
  };
}

async function submit(work: Work, request: NewRequest, way: Way): Promise<boolean> {
  const { db, mqtt, feed } = work;
  const { vin } = request;
  const vehicle = work.vehicles.of(vin);
  const overtakesNone = !vehicle.backlog && !vehicle.pumping;
  const isDirect = mqtt.connection(vin) !== undefined && overtakesNone && freePlaces(vehicle) > 0;
  if (isDirect) vehicle.reserved += 1;
  try {
    // Where nothing may wait, an attempt to send it tells why it can't go.
    const isNow = isDirect || request.expires_at.getTime() <= Date.now();
    const created_at = await insertRequest(db, request, isNow ? "sent" : "queued");
    if (created_at === undefined) return false;
    const stored = performance.now();
    if (isNow) {
      const sent = { ...request, created_at, attempts: 1, approved_by: null };
      await transmit(work, sent, { ...way, stored });
    } else {
      feed.publish({ ...request, status: "queued" });
      // Not `vehicle`: nothing was kept of it meanwhile, and it may have been forgotten.
      work.vehicles.of(vin).backlog = true;
    }
  } finally {
    if (isDirect) vehicle.reserved -= 1;
  }
  pump(work, vin);
  return true;
}

function pump(work: Work, vin: string): void {
  const vehicle = work.vehicles.of(vin);
  if (vehicle.pumping || work.stopped || work.mqtt.connection(vin) === undefined) {
    work.vehicles.tidy(vin);
    return;
  }
  vehicle.pumping = true;
  work.inBackground(
    sendWaiting(work, vin).finally(() => {
      vehicle.pumping = false;
      work.vehicles.tidy(vin);
    }),
  );
}

async function sendWaiting(work: Work, vin: string): Promise<void> {
  const vehicle = work.vehicles.of(vin);
  while (vehicle.backlog && !work.stopped) {
    const places = freePlaces(vehicle);
    if (places === 0) return;
    // Before the query: a request that is stored during it says so again.
    vehicle.backlog = false;
    const due = await claimRequests(work.db, vin, places);
    if (due.length === places) vehicle.backlog = true;
    let isTaken = true;
    for (const request of due) isTaken = (await sendChecked(work, request)) && isTaken;
    if (!isTaken) return;
  }
}

async function sendChecked(work: Work, request: SentRequest): Promise<boolean> {
  if (await isForbidden(work, request)) return true;
  return transmit(work, request, { queued_ms: Date.now() - request.created_at.getTime() });
}

/** Asks vehicles to forget what has been sent to them and is not wanted any more. */
function forget({ vehicles, mqtt }: Work, { vin, requested_by, token_id, until }: Whose): void {
  for (const { request } of vehicles.all()) {
    const isTheirs =
      (vin === undefined || request.vin === vin) &&
      (requested_by === undefined || request.requested_by === requested_by) &&
      (token_id === undefined || request.token_id === token_id) &&
      (until === undefined || request.created_at <= until);
    if (!isTheirs) continue;
    const { request_id } = request;
    mqtt.send(request.vin, "diagnostics/control", { kind: "cancel_request", request_id });
  }
}

async function answer(work: Work, vin: string, response: DiagnosticResponse): Promise<boolean> {
  const answered = performance.now();
  const { request_id, attempt, interlock } = response;
  const flight = work.vehicles.flight(vin, request_id);
  const stored = flight?.request ?? (await awaitedRequest(work.db, vin, request_id));
  if (stored === undefined || isOfAnother(response, stored)) return false;
  const more = flight !== undefined && attempt < stored.max_attempts;
  const named = stored.ecu_id === null ? response : { ...response, ecu_id: stored.ecu_id };
  const outcome = outcomeOf(named, more);
  if (outcome === "retry") {
    // The failure of an earlier attempt must not cut the present one short.
    if (flight === undefined || attempt !== flight.request.attempts) return true;
    land(work, flight.request);
    await transmitAgain(work, flight.request, flight.way);
    return true;
  }
  if (work.ending.has(request_id)) return false;
  work.ending.add(request_id);
  try {
    const request = { ...stored, vin, request_id };
    const { responses, error } = outcome;
    await auditAnswer(work.audit, request, { response, answers: responses, error });
    const hops = hopsOf(flight?.way ?? {}, answered, performance.now(), response);
    const isFirst = await end(work, request, { ...outcome, interlock, hops });
    if (flight) land(work, flight.request);
    return isFirst;
  } finally {
    work.ending.delete(request_id);
    pump(work, vin);
  }
}

/**
 * An answer in the name of an ECU that was not asked is none, nor is one of several ECUs where one
 * was asked, or of one where a zone was.
 */
function isOfAnother(
  { ecu_id, response_data, responses }: DiagnosticResponse,
  stored: { ecu_id: string | null },
): boolean {
  if (stored.ecu_id === null) return ecu_id !== undefined || response_data !== undefined;
  return responses !== undefined || (ecu_id !== undefined && ecu_id !== stored.ecu_id);
}
