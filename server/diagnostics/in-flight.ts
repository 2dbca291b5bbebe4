import type { Hops } from "#protocol/api/diagnostics.ts";
import type { DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import type { SentRequest } from "./queries.ts";

/** What a request's way has taken so far; times of `performance.now()`. */
export interface Way {
  /** When the operator's request came in; undefined when it was not on this gateway, or long ago. */
  received?: number | undefined;
  stored?: number | undefined;
  /** It waited for the vehicle, so many milliseconds. */
  queued_ms?: number;
  sent?: number;
  /** The vehicle's acknowledgement of the message (PUBACK). */
  acknowledged?: number;
}

/** A request that was sent and has not ended. */
export interface Flight {
  request: SentRequest;
  way: Way;
  timer: NodeJS.Timeout;
}

/** The requests of one vehicle that are under way. */
export interface VehicleFlights {
  flights: Map<string, Flight>;
  /** Places taken by requests that are about to be sent. */
  reserved: number;
  /** There may be more in the database. */
  backlog: boolean;
  pumping: boolean;
}

/** Fewer than a VMG takes at once, so that what is waiting waits here, where it can be cancelled. */
const MOST_IN_FLIGHT = 24;

export function freePlaces({ flights, reserved }: VehicleFlights): number {
  return Math.max(0, MOST_IN_FLIGHT - flights.size - reserved);
}

/** The vehicles that have requests under way or waiting; others cost nothing. */
export function createFlights() {
  const vehicles = new Map<string, VehicleFlights>();
  return {
    of(vin: string): VehicleFlights {
      let found = vehicles.get(vin);
      if (found === undefined) {
        found = { flights: new Map(), reserved: 0, backlog: false, pumping: false };
        vehicles.set(vin, found);
      }
      return found;
    },
    flight: (vin: string, requestId: string) => vehicles.get(vin)?.flights.get(requestId),
    /** Forgets a vehicle that nothing is kept of. */
    tidy(vin: string): void {
      const found = vehicles.get(vin);
      if (!found || found.backlog || found.pumping) return;
      if (found.flights.size === 0 && found.reserved === 0) vehicles.delete(vin);
    },
    all: () => [...vehicles.values()].flatMap(({ flights }) => [...flights.values()]),
  };
}

/** Where the time went, as far as this gateway knows. @param now when the answer was kept */
export function hopsOf(
  { received, stored, queued_ms, sent, acknowledged }: Way,
  answered: number,
  now: number,
  { timing, duration_ms }: Pick<DiagnosticResponse, "timing" | "duration_ms"> = {},
): Hops {
  const between = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? undefined : round(to - from);
  const away = between(sent, answered);
  const hops = {
    rest_ms: between(received, stored),
    queued_ms: queued_ms ?? between(stored, sent),
    broker_ms: between(sent, acknowledged),
    network_ms:
      away === undefined || duration_ms === undefined
        ? undefined
        : round(Math.max(0, away - duration_ms)),
    vmg_ms: duration_ms,
    vehicle: timing,
    store_ms: round(now - answered),
  };
  return Object.fromEntries(Object.entries(hops).filter(([, value]) => value !== undefined));
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
