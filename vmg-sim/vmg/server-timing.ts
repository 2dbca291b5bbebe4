import type { ExchangeTiming } from "#protocol/uds/exchange.ts";
import { relate } from "#protocol/uds/response.ts";
import { Sid } from "#protocol/uds/service.ts";

type ServerTiming = Pick<ExchangeTiming, "p2Ms" | "p2StarMs">;

/** What each ECU has said of its own patience, by logical address. */
export interface ServerTimings {
  /** The timers to wait with for this ECU. */
  of(target: number): ServerTiming;
  /** Looks at an answer: that to 10 tells P2 and P2*, that to 11 makes them the standard ones. */
  note(target: number, request: Uint8Array, response: Uint8Array): void;
}

/** P2* of the server is told in steps of 10 ms. */
const P2_STAR_STEP_MS = 10;

/**
 * P2 and P2* on the side of the client, from what the ECUs told (ISO 14229-2: the server's values and
 * the time for the way). `least` is for those that told nothing yet, and nobody gets less P2.
 */
export function serverTimings(least: ServerTiming): ServerTimings {
  const told = new Map<number, ServerTiming>();
  return {
    of: (target) => told.get(target) ?? least,
    note(target, request, response) {
      const [sid] = request;
      if (relate(request, response).kind !== "positive") return;
      if (sid === Sid.ecuReset) told.delete(target);
      if (sid !== Sid.diagnosticSessionControl || response.length < 6) return;
      const view = new DataView(response.buffer, response.byteOffset, response.length);
      const p2 = view.getUint16(2);
      const p2Star = view.getUint16(4) * P2_STAR_STEP_MS;
      // P2 of `least` is almost all for the way.
      told.set(target, { p2Ms: p2 + least.p2Ms, p2StarMs: p2Star + least.p2Ms });
    },
  };
}
