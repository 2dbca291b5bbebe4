import { Nrc } from "#protocol/uds/nrc.ts";
import { POSITIVE_OFFSET, Sid } from "#protocol/uds/service.ts";
import { readRecord, readRefusal } from "./data-record.ts";
import {
  joinBytes,
  negative,
  nonDefaultSessions,
  positive,
  sessionHasExpired,
  type EcuRuntime,
  type EcuService,
  type Outcome,
  type Tester,
} from "./runtime.ts";

/** A periodic identifier is the low byte of one of these DIDs. */
export const PERIODIC_DIDS = 0xf200;

const STOP = 0x04;

/** Send modes from 01 on, with their keys in the definition. */
const rates = ["slow_ms", "medium_ms", "fast_ms"] as const;
export type Rate = (typeof rates)[number];

/** 2A: sends DIDs again and again to the tester that asked, until it, its session or a reset ends it. */
export const periodicReading: EcuService = {
  sid: Sid.readDataByPeriodicIdentifier,
  sessions: nonDefaultSessions,
  minLength: 2,
  handle(ecu, request, tester) {
    const mode = request[1] ?? 0;
    const asked = [...new Set(request.subarray(2))];
    if (mode === STOP) return stop(ecu, asked);
    const rate = rates[mode - 1];
    if (rate === undefined) return negative(Nrc.requestOutOfRange);
    if (asked.length === 0) return negative(Nrc.incorrectMessageLength);
    return start(ecu, rate, asked, tester);
  },
};

function start(ecu: EcuRuntime, rate: Rate, asked: readonly number[], tester: Tester): Outcome {
  const refusals = asked.map((id) => readRefusal(ecu, PERIODIC_DIDS + id));
  if (refusals.every((nrc) => nrc === Nrc.requestOutOfRange)) {
    return negative(Nrc.requestOutOfRange);
  }
  if (refusals.includes(Nrc.securityAccessDenied)) return negative(Nrc.securityAccessDenied);
  const supported = asked.filter((_, at) => refusals[at] === undefined);
  const { entries } = ecu.now.periodic;
  const scheduled = new Set([...entries.keys(), ...supported]);
  if (scheduled.size > ecu.config.definition.periodic.max) return negative(Nrc.requestOutOfRange);
  for (const id of supported) entries.set(id, { rate, tester });
  runScheduler(ecu, rate);
  return positive();
}

function stop(ecu: EcuRuntime, asked: readonly number[]): Outcome {
  const dids = asked.map((id) => PERIODIC_DIDS + id);
  if (asked.length > 0 && dids.every((did) => readRefusal(ecu, did) === Nrc.requestOutOfRange)) {
    return negative(Nrc.requestOutOfRange);
  }
  if (asked.length === 0) stopAllPeriodic(ecu);
  for (const did of dids) stopPeriodic(ecu, did);
  return positive();
}

/** Ends the sending of one DID, if it is sent. */
export function stopPeriodic(ecu: EcuRuntime, did: number): void {
  const { entries } = ecu.now.periodic;
  if ((did & 0xff00) === PERIODIC_DIDS) entries.delete(did & 0xff);
}

export function stopAllPeriodic({ now: { periodic } }: EcuRuntime): void {
  periodic.entries.clear();
  for (const cancel of periodic.timers.values()) cancel();
  periodic.timers.clear();
}

/** One timer for each rate that something is sent at. */
function runScheduler(ecu: EcuRuntime, rate: Rate): void {
  const { timers } = ecu.now.periodic;
  if (timers.has(rate)) return;
  const again = () => {
    const isNeeded = sendDue(ecu, rate);
    if (isNeeded) timers.set(rate, ecu.clock.after(ecu.config.definition.periodic[rate], again));
    else timers.delete(rate);
  };
  timers.set(rate, ecu.clock.after(ecu.config.definition.periodic[rate], again));
}

/** Sends what is due; false when there is nothing left to send at this rate. */
function sendDue(ecu: EcuRuntime, rate: Rate): boolean {
  const { entries } = ecu.now.periodic;
  if (sessionHasExpired(ecu)) entries.clear();
  for (const [id, { rate: own, tester }] of entries) {
    if (own !== rate) continue;
    // Whoever does not take what was sent gets nothing more until it does.
    if (ecu.behaviour.silent !== true && tester.congested?.() !== true) {
      tester.respond(message(ecu, id));
    }
  }
  return [...entries.values()].some((entry) => entry.rate === rate);
}

/**
 * ISO 14229-1 has the periodic response without the SID, the identifier in front; ISO 14229-5 puts
 * it into a diagnostic message like any other. Testers that want the SID of a response in front of
 * it are out there, so the definition can say so.
 */
function message(ecu: EcuRuntime, id: number): Buffer {
  const record = readRecord(ecu, PERIODIC_DIDS + id) ?? new Uint8Array(0);
  const sid = Sid.readDataByPeriodicIdentifier + POSITIVE_OFFSET;
  return joinBytes(
    ecu.config.definition.periodic.response === "with_sid" ? [sid, id, record] : [id, record],
  );
}
