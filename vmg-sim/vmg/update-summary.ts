import type { Failure } from "./failure.ts";
import type { UpdateEcu, UpdateRecord } from "./update-state.ts";

/** What an update came to, with the versions after and before it, by ECU. */
export interface UpdateSummary {
  status: "nothing_outdated" | "completed" | "rolled_back" | "failed" | "deferred";
  versions: Record<string, string>;
  previous_versions: Record<string, string>;
  error?: Failure;
}

/** @param before the versions at the very start, when the update took several steps */
export function summary(record: UpdateRecord, before?: ReadonlyMap<string, string>): UpdateSummary {
  const { phase, ecus, error } = record;
  return {
    status: phase === "completed" || phase === "rolled_back" ? phase : "failed",
    versions: byEcu(ecus, (ecu) => (ecu.step === "confirmed" ? ecu.to_version : ecu.from_version)),
    previous_versions: byEcu(ecus, (ecu) => before?.get(ecu.ecu_id) ?? ecu.from_version),
    ...(error && { error }),
  };
}

/** Nothing was outdated. */
export function unchanged(versions: ReadonlyMap<string, string>): UpdateSummary {
  const same = Object.fromEntries(versions);
  return { status: "nothing_outdated", versions: same, previous_versions: same };
}

/** It waits, and will go on by itself. */
export function waiting(versions: ReadonlyMap<string, string>): UpdateSummary {
  return { ...unchanged(versions), status: "deferred" };
}

/** These ECUs went back on command. */
export function rolledBack(ecus: readonly UpdateEcu[]): UpdateSummary {
  return {
    status: "rolled_back",
    versions: byEcu(ecus, (ecu) => ecu.from_version),
    previous_versions: byEcu(ecus, (ecu) => ecu.to_version),
  };
}

function byEcu(
  ecus: readonly UpdateEcu[],
  version: (ecu: UpdateEcu) => string,
): Record<string, string> {
  return Object.fromEntries(ecus.map((ecu) => [ecu.ecu_id, version(ecu)]));
}
