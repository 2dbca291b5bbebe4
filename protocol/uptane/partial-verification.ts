import {
  checkAssignment,
  readAssignments,
  type Assignment,
  type Binding,
  type ReleaseCounters,
  type VehicleEcu,
} from "./assignment.ts";
import { parseMetadata } from "./metadata.ts";
import { checkFresh, type Checks, type TrustedRepository } from "./trusted.ts";
import { updateRoot, updateTargetsAlone } from "./update.ts";
import { UptaneError } from "./uptane-error.ts";
import { withAssigned } from "./vehicle-state.ts";

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
 * can be replaced: the director's targets alone, and in them the ECU's own entry.
 * @throws UptaneError for whatever root, targets or the entry are refused for; UPTANE_ECU_UNKNOWN
 *   when nothing is assigned to the ECU
 */
export function verifyPartially(
  state: EcuState,
  files: DirectorFiles,
  ecu: VehicleEcu,
  checks: Checks & Binding,
): { state: EcuState; assignment: Assignment } {
  let director = state.director;
  for (const bytes of files.roots) {
    const { version } = parseMetadata("root", bytes).signed;
    if (version > director.root.signed.version) director = updateRoot(director, bytes, checks);
  }
  checkFresh(director.root, "root", checks.now);
  director = updateTargetsAlone(director, files.targets, checks);
  const assignments = director.targets ? readAssignments(director.targets, checks) : [];
  const assignment = assignments.find(({ ecu: { ecu_id } }) => ecu_id === ecu.ecuId);
  if (assignment === undefined) {
    const what = `nothing is assigned to ${ecu.ecuId}`;
    throw new UptaneError("UPTANE_ECU_UNKNOWN", "director targets", what);
  }
  checkAssignment(assignment, [ecu], state.releaseCounters);
  const releaseCounters = withAssigned(state.releaseCounters, [assignment]);
  return { state: { director, releaseCounters }, assignment };
}
