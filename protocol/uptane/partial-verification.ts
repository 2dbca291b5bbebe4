import { Type } from "typebox";
import { Compile } from "typebox/compile";
import {
  checkAssignment,
  readAssignments,
  type Assignment,
  type Binding,
  type ReleaseCounters,
  type VehicleEcu,
} from "./assignment.ts";
import { parseMetadata } from "./metadata.ts";
import {
  checkFresh,
  restoreTrusted,
  StoredRepository,
  storeTrusted,
  type Checks,
  type TrustedRepository,
} from "./trusted.ts";
import { updateRoot, updateTargetsAlone } from "./update.ts";
import { UptaneError } from "./uptane-error.ts";
import { ReleaseCountersRecord, withAssigned } from "./vehicle-state.ts";

/** All that an ECU or zonal gateway has to remember. */
export interface EcuState {
  readonly director: TrustedRepository;
  readonly releaseCounters: ReleaseCounters;
}

/** What the VMG hands on: the director's roots in order (known ones are skipped), and its targets. */
export interface DirectorFiles {
  roots: readonly Uint8Array[];
  targets: Uint8Array;
}

/**
 * Partial verification (Uptane 2.1, section of that name), with the director's roots so that keys
 * can be replaced: the director's targets alone, and in them the entries of the ECUs at hand. An ECU
 * asks for itself; a zonal gateway for the ECUs behind it, of which at least one must be assigned.
 * @throws UptaneError for whatever root, targets or an entry are refused for; UPTANE_ECU_UNKNOWN
 *   when nothing is assigned to any of the ECUs
 */
export function verifyPartially(
  state: EcuState,
  files: DirectorFiles,
  ecus: readonly VehicleEcu[],
  checks: Checks & Binding,
): { state: EcuState; assignments: readonly Assignment[] } {
  let director = state.director;
  for (const bytes of files.roots) {
    const { version } = parseMetadata("root", bytes).signed;
    if (version > director.root.signed.version) director = updateRoot(director, bytes, checks);
  }
  checkFresh(director.root, "root", checks.now);
  director = updateTargetsAlone(director, files.targets, checks);
  const all = director.targets ? readAssignments(director.targets, checks) : [];
  const assignments = all.filter(({ ecu }) => ecus.some(({ ecuId }) => ecuId === ecu.ecu_id));
  if (assignments.length === 0) {
    const what = `nothing is assigned to ${ecus.map(({ ecuId }) => ecuId).join(", ")}`;
    throw new UptaneError("UPTANE_ECU_UNKNOWN", "director targets", what);
  }
  for (const assignment of assignments) {
    checkAssignment(assignment, ecus, state.releaseCounters);
  }
  const releaseCounters = withAssigned(state.releaseCounters, assignments);
  return { state: { director, releaseCounters }, assignments };
}

const StoredEcuState = Type.Object({
  format: Type.Literal("latticeway-ecu-trust/1"),
  director: StoredRepository,
  release_counters: ReleaseCountersRecord,
});

/** The state as JSON. */
export function storeEcuState({ director, releaseCounters }: EcuState): object {
  return {
    format: "latticeway-ecu-trust/1",
    director: storeTrusted(director),
    release_counters: Object.fromEntries(releaseCounters),
  };
}

const checkStored = Compile(StoredEcuState);

/** @throws UptaneError UPTANE_STATE_MALFORMED, or what is wrong with the root */
export function restoreEcuState(stored: unknown, checks: Omit<Checks, "now">): EcuState {
  if (!checkStored.Check(stored)) {
    throw new UptaneError("UPTANE_STATE_MALFORMED", "state", "not the state of an ECU");
  }
  return {
    director: restoreTrusted(stored.director, checks),
    releaseCounters: new Map(Object.entries(stored.release_counters)),
  };
}
