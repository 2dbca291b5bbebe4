import { readRefusal } from "./data-record.ts";
import { controlOf } from "./io-control.ts";
import { PERIODIC_DIDS, stopPeriodic } from "./periodic.ts";
import { refusal, type EcuRuntime } from "./runtime.ts";

/**
 * Ends what the session or the level that is unlocked allows no more (ISO 14229-1, 10): controls,
 * routines in the background, what is sent periodically. Called when either has changed; in between
 * what a tester was allowed to begin goes on.
 */
export function endDisallowed(ecu: EcuRuntime): void {
  const { controls, routinesUntil, periodic } = ecu.now;
  for (const did of controls.keys()) {
    if (refusal(ecu, controlOf(ecu, did)?.access) !== undefined) controls.delete(did);
  }
  for (const { rid, access } of ecu.config.definition.rids) {
    if (refusal(ecu, access) !== undefined) routinesUntil.delete(rid);
  }
  for (const id of periodic.entries.keys()) {
    const did = PERIODIC_DIDS + id;
    if (readRefusal(ecu, did) !== undefined) stopPeriodic(ecu, did);
  }
}
