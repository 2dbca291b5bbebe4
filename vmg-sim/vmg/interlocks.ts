import { toHex } from "#protocol/bytes/hex.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";
import { diagnosticLevel, type DiagnosticLevel } from "#protocol/uds/level.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { findService, SUPPRESS_POSITIVE } from "#protocol/uds/service.ts";
import type { Conditions } from "./vehicle-conditions.ts";

/** What a vehicle demands of itself before it passes a remote request on to an ECU. */
export type InterlockRules = Readonly<Record<DiagnosticLevel, readonly Interlock[]>> & {
  /** By how a request begins, in hex with `..` for any byte: in place of its level's. */
  readonly requests: Readonly<Record<string, readonly Interlock[]>>;
  /** Volts between which the supply is fit for `voltage`. */
  readonly voltage_min: number;
  readonly voltage_max: number;
};

export interface Situation extends Pick<
  Conditions,
  "speed_kmh" | "gear" | "voltage" | "driver_consent"
> {
  /** Is an update being installed? */
  updating: boolean;
}

/** An interlock that isn't fulfilled, and the negative response code that says so. */
export interface Violation {
  interlock: Interlock;
  nrc: number;
}

/**
 * The first interlock that keeps a request from its ECU in this situation (ISO 14229-1, annex A:
 * 0x88, 0x90, 0x92, 0x93 and 0x94 name their condition, 0x22 is for the one that has none of its own).
 */
export function violatedInterlock(
  rules: InterlockRules,
  request: Uint8Array,
  situation: Situation,
): Violation | undefined {
  for (const interlock of demandsOf(rules, request)) {
    const nrc = nrcOf(interlock, rules, situation);
    if (nrc !== undefined) return { interlock, nrc };
  }
  return undefined;
}

function demandsOf(rules: InterlockRules, request: Uint8Array): readonly Interlock[] {
  const hex = toHex(withoutSuppression(request));
  const [longest] = Object.keys(rules.requests)
    .filter((beginning) => begins(hex, beginning.toUpperCase()))
    .toSorted((a, b) => b.length - a.length);
  const own = longest === undefined ? undefined : rules.requests[longest];
  return own ?? rules[diagnosticLevel(request)];
}

/** Whether an answer is wanted makes no difference to what a request does. */
function withoutSuppression(request: Uint8Array): Uint8Array {
  const [sid = 0, subFunction] = request;
  if (subFunction === undefined || findService(sid)?.subFunctions === undefined) return request;
  return Uint8Array.of(sid, subFunction & ~SUPPRESS_POSITIVE, ...request.subarray(2));
}

function begins(hex: string, beginning: string): boolean {
  if (beginning.length > hex.length) return false;
  for (let at = 0; at < beginning.length; at++) {
    if (beginning[at] !== "." && beginning[at] !== hex[at]) return false;
  }
  return true;
}

function nrcOf(
  interlock: Interlock,
  { voltage_min, voltage_max }: InterlockRules,
  { speed_kmh, gear, voltage, driver_consent, updating }: Situation,
): number | undefined {
  switch (interlock) {
    case "stationary":
      return speed_kmh > 0 ? Nrc.vehicleSpeedTooHigh : undefined;
    case "in_park":
      return gear === "P" ? undefined : Nrc.shifterLeverNotInPark;
    case "voltage":
      if (voltage > voltage_max) return Nrc.voltageTooHigh;
      return voltage < voltage_min ? Nrc.voltageTooLow : undefined;
    case "no_update":
      return updating ? Nrc.resourceTemporarilyNotAvailable : undefined;
    default:
      return driver_consent ? undefined : Nrc.conditionsNotCorrect;
  }
}
