import { randomUUIDv7, type KeyObject } from "node:crypto";
import type { CheckAnswer, PackageAnswer, VciAnswer } from "#protocol/api/ota.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { checkVci, type Vci } from "#protocol/api/vci.ts";
import type { DetectedAttack } from "#protocol/api/vehicle.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { plan, type Plan, type PlannedEcu } from "#server/firmware/planner.ts";
import { activeReleases, firmwareByIds } from "#server/firmware/queries.ts";
import type { Assembler } from "#server/packages/assemble.ts";
import type { Package } from "#server/packages/package.ts";
import { assignPackage } from "#server/packages/queries.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import { evidenceOf } from "#server/vehicles/evidence.ts";
import {
  beginUpdating,
  currentVci,
  endUpdating,
  noteSightings,
  saveVci,
  vehicleByVin,
} from "#server/vehicles/queries.ts";
import * as queries from "./queries.ts";
import type { UpdateError } from "./table.ts";
import { isFinal, nextState, showsTargets, type UpdateInput } from "./update.ts";

export interface UpdateDeps {
  db: Db;
  assembler: Assembler;
  metrics: Metrics;
  /** How long a vehicle may download what it was assigned, in hours. */
  ttlHours: number;
  /** Called when a vehicle begins an update. */
  started?: (vin: string) => void;
}

/**
 * Stores a VCI with the evidence for it, settles the running update by it, and answers what is
 * outdated.
 * @param certificateKey of the connection that it came by
 * @throws ProblemError VCI_*, VEHICLE_NOT_REGISTERED
 */
export async function submitVci(
  deps: UpdateDeps & { log: Log },
  vin: string,
  vci: Vci,
  certificateKey: () => KeyObject | undefined = () => undefined,
): Promise<VciAnswer> {
  checkVci(vci);
  const evidence = evidenceOf(vin, vci, certificateKey);
  const { vci_id, isNew } = await deps.db.transaction().execute(async (tx) => {
    const saved = await saveVci(tx, vin, vci, evidence);
    if (saved === undefined)
      throw new ProblemError("VEHICLE_NOT_REGISTERED", `${vin} must register first`);
    // One that comes again says nothing of what the vehicle has done since.
    if (saved.isNew) await settleByVci(deps, tx, vin, vci.ecus);
    await noteSightings(tx, [{ vin, at: new Date() }]);
    return saved;
  });
  if (isNew) reportAttacks(deps.log, vin, evidence.attacks);
  return { vci_id, ...asAnswer(await planFor(deps.db, vin, vci.ecus)) };
}

/** A vehicle may tell of hundreds, at length. */
const MAX_LOGGED_ATTACKS = 10;

function reportAttacks(log: Log, vehicle: string, attacks: readonly DetectedAttack[]): void {
  if (attacks.length === 0) return;
  const attacks_detected = attacks.slice(0, MAX_LOGGED_ATTACKS);
  const what = `The vehicle has detected attacks on ${attacks.length} of its ECUs`;
  log.warn({ vehicle, attacks_detected }, what);
}

/** Compares a version list with the catalogue; stores nothing. */
export async function checkVersions(
  db: Db,
  vin: string,
  ecus: readonly InventoryEcu[],
): Promise<CheckAnswer> {
  return asAnswer(await planFor(db, vin, ecus));
}

/**
 * Assigns the package for what is outdated by the current VCI and opens an update. Asking again for
 * the same package gives the same update.
 * @throws ProblemError VCI_MISSING, ECU_UNKNOWN, PACKAGE_NOTHING_OUTDATED
 */
export async function requestPackage(
  deps: UpdateDeps,
  vin: string,
  ecuIds: readonly string[] | undefined,
): Promise<PackageAnswer> {
  const vci = await currentVci(deps.db, vin);
  if (vci === undefined) throw new ProblemError("VCI_MISSING", vin);
  const stranger = ecuIds?.find((id) => !vci.ecus.some(({ ecu_id }) => ecu_id === id));
  if (stranger !== undefined) throw new ProblemError("ECU_UNKNOWN", stranger);
  const { vci_id } = vci;
  const { outdated } = await planFor(deps.db, vin, vci.ecus);
  const wanted = outdated.filter(({ ecu }) => ecuIds?.includes(ecu.ecu_id) ?? true);
  if (wanted.length === 0) throw new ProblemError("PACKAGE_NOTHING_OUTDATED");
  const found = await packageFor(deps, wanted);
  const expires_at = new Date(Date.now() + deps.ttlHours * 3_600_000);
  const { package_id, sha256 } = found;
  const planned = { vci_id, package_id, sha256, wanted, expires_at };
  const update_id = await deps.db.transaction().execute((tx) => openUpdate(deps, tx, vin, planned));
  // The vehicle has sent another VCI meanwhile: plan again by that one.
  if (update_id === undefined) return requestPackage(deps, vin, ecuIds);
  return asPackageAnswer(found, wanted, update_id, expires_at);
}

/**
 * Takes a step that the vehicle reports.
 * @throws ProblemError UPDATE_UNKNOWN when the vehicle has no such update
 */
export async function reportStatus(
  deps: UpdateDeps,
  vin: string,
  report: OtaStatus,
): Promise<void> {
  await deps.db.transaction().execute(async (tx) => {
    const update = await queries.lockUpdate(tx, vin, report.update_id);
    if (update === undefined) throw new ProblemError("UPDATE_UNKNOWN", report.update_id);
    await takeReport(deps, tx, vin, update, report);
    await noteSightings(tx, [{ vin, at: new Date() }]);
  });
}

async function takeReport(
  deps: UpdateDeps,
  tx: Tx,
  vin: string,
  update: queries.OpenUpdate,
  report: OtaStatus,
): Promise<void> {
  const next = nextState(update, { type: "report", status: report.status });
  await queries.insertEvent(tx, report, next !== undefined);
  if (next === undefined) return;
  const progress = Math.max(report.progress, update.progress);
  await apply(deps, tx, vin, update, { ...next, progress, error: report.error, heard: true });
  if (report.status !== "completed") return;
  // The proof may be there already: the VCI and this report come by different ways.
  const vci = await currentVci(tx, vin);
  if (vci && showsTargets(update.targets, vci.ecus)) {
    await step(deps, tx, vin, { ...update, ...next }, { type: "vci", showsTargets: true });
  }
}

/**
 * Ends an update that was silent for too long, unless it has been heard of after `since`.
 * @returns whether it ended
 */
export async function endSilentUpdate(
  deps: UpdateDeps,
  vin: string,
  updateId: string,
  since: Date,
): Promise<boolean> {
  return deps.db.transaction().execute(async (tx) => {
    const update = await queries.lockUpdate(tx, vin, updateId);
    if (update === undefined || update.last_report_at > since) return false;
    return step(
      deps,
      tx,
      vin,
      update,
      { type: "silence" },
      {
        code: "UPDATE_SILENT",
        message: `nothing was heard of it since ${since.toISOString()}`,
      },
    );
  });
}

/** @throws ProblemError UPDATE_UNKNOWN, UPDATE_TRANSITION_REFUSED once flash is being written */
export async function cancelUpdate(deps: UpdateDeps, vin: string, updateId: string): Promise<void> {
  await deps.db.transaction().execute(async (tx) => {
    const update = await queries.lockUpdate(tx, vin, updateId);
    if (update === undefined) throw new ProblemError("UPDATE_UNKNOWN", updateId);
    if (!(await step(deps, tx, vin, update, { type: "cancel" }))) {
      throw new ProblemError("UPDATE_TRANSITION_REFUSED", `it is ${update.status}`);
    }
  });
}

async function planFor(db: Db, vin: string, ecus: readonly InventoryEcu[]): Promise<Plan> {
  const [vehicle, releases] = await Promise.all([
    vehicleByVin(db, vin),
    activeReleases(
      db,
      ecus.map(({ ecu_type }) => ecu_type),
    ),
  ]);
  return plan(ecus, releases, vehicle?.channel ?? "stable");
}

async function packageFor(
  { db, assembler }: UpdateDeps,
  wanted: readonly PlannedEcu[],
): Promise<Package> {
  const firmware = await firmwareByIds(db, [
    ...new Set(wanted.map(({ release }) => release.firmware_id)),
  ]);
  const byId = new Map(firmware.map((each) => [each.firmware_id, each]));
  const contents = wanted.flatMap(({ ecu, release }) => {
    const image = byId.get(release.firmware_id);
    return image ? [{ ecu_id: ecu.ecu_id, zone_id: ecu.zone_id, firmware: image }] : [];
  });
  return assembler.packageOf(contents);
}

interface PlannedUpdate {
  /** The VCI that it was planned by. */
  vci_id: string;
  package_id: string;
  /** Of the file that the vehicle is told of. */
  sha256: string;
  wanted: readonly PlannedEcu[];
  expires_at: Date;
}

/** @returns the update's id; undefined when the VCI it was planned by is no longer the current one */
async function openUpdate(
  deps: UpdateDeps,
  tx: Tx,
  vin: string,
  { vci_id, package_id, sha256, wanted, expires_at }: PlannedUpdate,
): Promise<string | undefined> {
  const open = await queries.lockOpenUpdate(tx, vin);
  const vci = await currentVci(tx, vin);
  if (vci?.vci_id !== vci_id) return undefined;
  await assignPackage(tx, { vin, package_id, sha256, expires_at });
  if (open?.package_id === package_id) {
    await queries.renewWaiting(tx, open.update_id);
    return open.update_id;
  }
  if (open) {
    await step(
      deps,
      tx,
      vin,
      open,
      { type: "superseded" },
      {
        code: "UPDATE_SUPERSEDED",
        message: `the vehicle asked for ${package_id} instead`,
      },
    );
  }
  const update_id = randomUUIDv7();
  const targets = wanted.map(({ ecu, release }) => ({
    ecu_id: ecu.ecu_id,
    zone_id: ecu.zone_id,
    ecu_type: ecu.ecu_type,
    hardware_version: ecu.hardware_version,
    firmware_id: release.firmware_id,
    from_version: ecu.software_version,
    to_version: release.version,
  }));
  await queries.insertUpdate(tx, { update_id, vin, package_id, targets });
  return update_id;
}

async function settleByVci(
  deps: UpdateDeps,
  tx: Tx,
  vin: string,
  ecus: Vci["ecus"],
): Promise<void> {
  const open = await queries.lockOpenUpdate(tx, vin);
  if (open === undefined) return;
  await step(
    deps,
    tx,
    vin,
    open,
    { type: "vci", showsTargets: showsTargets(open.targets, ecus) },
    {
      code: "UPDATE_CONTRADICTED",
      message: "the vehicle reported completion, but its VCI does not show the target versions",
    },
  );
}

/** Moves an update on; the error is kept when that ends it badly. @returns whether it moved */
async function step(
  deps: UpdateDeps,
  tx: Tx,
  vin: string,
  update: queries.OpenUpdate,
  input: UpdateInput,
  error?: UpdateError,
): Promise<boolean> {
  const next = nextState(update, input);
  if (next === undefined) return false;
  const bad = next.status !== "success";
  await apply(deps, tx, vin, update, {
    ...next,
    ...(bad ? { error } : { progress: 100 }),
  });
  return true;
}

async function apply(
  { metrics, started }: UpdateDeps,
  tx: Tx,
  vin: string,
  update: queries.OpenUpdate,
  next: Parameters<typeof queries.saveState>[2],
): Promise<void> {
  await queries.saveState(tx, update.update_id, next);
  if (next.status === update.status) return;
  metrics.updates.inc({ status: next.status });
  if (update.status === "pending" && !isFinal(next.status)) started?.(vin);
  await (isFinal(next.status) ? endUpdating(tx, vin) : beginUpdating(tx, vin));
}

function asAnswer({ outdated, blocked }: Plan): CheckAnswer {
  return {
    outdated_ecus: outdated.map(({ ecu, release, newestVersion }) => ({
      ecu_id: ecu.ecu_id,
      zone_id: ecu.zone_id,
      current_version: ecu.software_version,
      target_version: release.version,
      newest_version: newestVersion,
      firmware_id: release.firmware_id,
      size: release.size,
      critical: release.critical,
    })),
    blocked: blocked.map(({ ecu, reason, detail }) => ({ ecu_id: ecu.ecu_id, reason, detail })),
  };
}

function asPackageAnswer(
  found: Package,
  wanted: readonly PlannedEcu[],
  update_id: string,
  expires_at: Date,
): PackageAnswer {
  return {
    package_id: found.package_id,
    update_id,
    download_url: `/api/v1/ota/package/${found.package_id}`,
    size: found.size,
    checksum: `sha256:${found.sha256}`,
    expires_at: expires_at.toISOString(),
    zones: found.zones.map((zone) => ({
      ...zone,
      ecus: wanted
        .filter(({ ecu }) => ecu.zone_id === zone.zone_id)
        .map(({ ecu, release }) => ({
          ecu_id: ecu.ecu_id,
          current_version: ecu.software_version,
          target_version: release.version,
          firmware_id: release.firmware_id,
        })),
    })),
  };
}
