import { gte, valid } from "semver";
import { assignedEcus, imageTraits, type Assigned } from "./ecu-target.ts";
import type { Metadata, TargetFile } from "./metadata.ts";
import { UptaneError } from "./uptane-error.ts";

/** An ECU as the vehicle itself knows it. */
export interface VehicleEcu {
  ecuId: string;
  hardwareId: string;
  /** Where it is known, only images below its name are for this ECU: `brake-controller/1.2.3.bin`. */
  ecuType?: string;
  /** Of the software that runs, where it is known; a semantic version. */
  version?: string;
  /** Of the image that is installed, where it is known. */
  releaseCounter?: number;
}

/** Whom the director's targets must be for. */
export interface Binding {
  /** Without one, targets for any vehicle are taken. */
  vin?: string;
  /** Of the vehicle's last version manifest; without one, an old answer can't be told. */
  nonce?: string;
  /** The gateway has announced an update: a director that has none withholds it. */
  expectsUpdate?: boolean;
}

/** The vehicle that verifies. */
export interface Vehicle extends Binding {
  ecus: readonly VehicleEcu[];
}

/** A target of the director for one ECU. */
export interface Assignment {
  path: string;
  file: TargetFile;
  ecu: Assigned;
}

/** The highest release counter each ECU was ever assigned. */
export type ReleaseCounters = ReadonlyMap<string, number>;

/**
 * What the director's targets assign (Uptane 2.1 "How to check Targets metadata", steps 6 and 7),
 * and that they are this vehicle's: bound to its VIN and to its nonce by `custom: { vin, nonce }`.
 * @throws UptaneError UPTANE_DIRECTOR_*, UPTANE_VIN_MISMATCH, UPTANE_NONCE_STALE,
 *   UPTANE_CUSTOM_MALFORMED, UPTANE_ECU_DUPLICATE
 */
export function readAssignments(targets: Metadata<"targets">, binding: Binding): Assignment[] {
  const { signed } = targets;
  if (signed.delegations !== undefined) {
    throw refusal("UPTANE_DIRECTOR_DELEGATES", "the director delegates, which it may not");
  }
  checkBinding(signed.custom ?? {}, binding);
  const assignments = Object.entries(signed.targets).flatMap(([path, file]) =>
    assignedEcus(path, file).map((ecu) => ({ path, file, ecu })),
  );
  const seen = new Set<string>();
  for (const { ecu } of assignments) {
    if (seen.has(ecu.ecu_id)) {
      throw refusal("UPTANE_ECU_DUPLICATE", `ECU ${ecu.ecu_id} is assigned twice`);
    }
    seen.add(ecu.ecu_id);
  }
  if (binding.expectsUpdate === true && assignments.length === 0) {
    throw refusal("UPTANE_DIRECTOR_EMPTY", "an update was announced, but nothing is assigned");
  }
  return assignments;
}

function checkBinding(custom: Readonly<Record<string, unknown>>, { vin, nonce }: Binding): void {
  if (vin !== undefined && custom["vin"] !== vin) {
    throw refusal("UPTANE_VIN_MISMATCH", `for ${String(custom["vin"])}, not for ${vin}`);
  }
  if (nonce !== undefined && custom["nonce"] !== nonce) {
    throw refusal("UPTANE_NONCE_STALE", "not the answer to the vehicle's last report");
  }
}

/**
 * Whether an ECU of the vehicle may take what it was assigned ("How to check Targets metadata",
 * step 8; "Full verification", step 10.2.3). Delegations bind whoever signs an image to paths, not to
 * hardware: that the path is the type's keeps a supplier from speaking for others' ECUs.
 * @throws UptaneError UPTANE_ECU_UNKNOWN, UPTANE_HARDWARE_MISMATCH, UPTANE_RELEASE_ROLLBACK
 */
export function checkAssignment(
  { path, ecu }: Assignment,
  ecus: readonly VehicleEcu[],
  counters: ReleaseCounters,
): void {
  const own = ecus.find(({ ecuId }) => ecuId === ecu.ecu_id);
  if (own === undefined) {
    throw refusal("UPTANE_ECU_UNKNOWN", `ECU ${ecu.ecu_id} is not in this vehicle`);
  }
  if (own.hardwareId !== ecu.hardware_id) {
    const what = `ECU ${ecu.ecu_id} is hardware ${own.hardwareId}, not ${ecu.hardware_id}`;
    throw refusal("UPTANE_HARDWARE_MISMATCH", what);
  }
  if (own.ecuType !== undefined && !isBelow(path, own.ecuType)) {
    const what = `ECU ${ecu.ecu_id} is a ${own.ecuType}, which ${path} is not for`;
    throw refusal("UPTANE_HARDWARE_MISMATCH", what);
  }
  const known = Math.max(own.releaseCounter ?? 0, counters.get(ecu.ecu_id) ?? 0);
  if ((ecu.release_counter ?? 0) < known) {
    const what = `ECU ${ecu.ecu_id}: release ${ecu.release_counter ?? "unknown"} after ${known}`;
    throw refusal("UPTANE_RELEASE_ROLLBACK", what);
  }
}

function isBelow(path: string, ecuType: string): boolean {
  return path.startsWith(`${ecuType}/`);
}

/**
 * Whether the image repository says the same of the image as the director ("Full verification",
 * step 10.2): length, hashes, hardware and release counter; the path is how it was found, and says the
 * type of ECU that the image names, if it names one.
 * @throws UptaneError UPTANE_IMAGE_MISMATCH, UPTANE_CUSTOM_MALFORMED
 */
export function checkImage({ path, file, ecu }: Assignment, image: TargetFile): void {
  const traits = imageTraits(path, image);
  const differences = [
    file.length === image.length ? [] : ["length"],
    hasSameHashes(file, image) ? [] : ["hashes"],
    traits.hardware_ids.includes(ecu.hardware_id) ? [] : ["hardware id"],
    traits.ecu_type === undefined || isBelow(path, traits.ecu_type) ? [] : ["ECU type"],
    traits.release_counter === ecu.release_counter ? [] : ["release counter"],
  ].flat();
  if (differences.length > 0) {
    const what = `director and image repository differ in ${differences.join(", ")}`;
    throw new UptaneError("UPTANE_IMAGE_MISMATCH", path, what);
  }
}

/**
 * Whether the ECU runs a version that the image may be installed over, by the word of who signed the
 * image: no director can leave out a step in between.
 * @throws UptaneError UPTANE_STEP_SKIPPED, UPTANE_CUSTOM_MALFORMED
 */
export function checkStep(
  { path, ecu }: Assignment,
  image: TargetFile,
  ecus: readonly VehicleEcu[],
): void {
  const { min_current_version: least } = imageTraits(path, image);
  const version = ecus.find(({ ecuId }) => ecuId === ecu.ecu_id)?.version;
  if (least === undefined || version === undefined) return;
  if (valid(version) === null || !gte(version, least)) {
    const what = `ECU ${ecu.ecu_id} runs ${version}, ${path} needs at least ${least}`;
    throw new UptaneError("UPTANE_STEP_SKIPPED", path, what);
  }
}

/** Every algorithm that both name gives the same, and a good one is among them. */
function hasSameHashes(one: TargetFile, other: TargetFile): boolean {
  const shared = Object.keys(one.hashes).filter((name) => Object.hasOwn(other.hashes, name));
  return (
    shared.some((name) => name === "sha256" || name === "sha512") &&
    shared.every((name) => one.hashes[name]?.toLowerCase() === other.hashes[name]?.toLowerCase())
  );
}

function refusal(code: UptaneError["code"], what: string): UptaneError {
  return new UptaneError(code, "director targets", what);
}
