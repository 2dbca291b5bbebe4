import { randomUUIDv7 } from "node:crypto";
import type { PackageAnswer } from "#protocol/api/ota.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { UpdateCommand } from "#server/commands/queries.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { partOf, type PlannedEcu } from "#server/firmware/planner.ts";
import { firmwareByIds } from "#server/firmware/queries.ts";
import type { Assembler } from "#server/packages/assemble.ts";
import type { Package } from "#server/packages/package.ts";
import { assignPackage } from "#server/packages/queries.ts";
import { demandPermission } from "#server/policies/policy.ts";
import { currentVci } from "#server/vehicles/queries.ts";
import { packageAnswer } from "./answer.ts";
import type { CheckIns } from "./check-in.ts";
import type { Grounds } from "./moved.ts";
import type { Offer } from "./offer.ts";
import * as queries from "./queries.ts";
import { begin, step, type TransitionDeps } from "./transition.ts";

export interface IssueDeps extends TransitionDeps {
  db: Db;
  assembler: Assembler;
  checkIns: CheckIns;
  /** How long a vehicle may download what it was assigned, in hours. */
  ttlHours: number;
  /** From the start of an installation to its proof where no campaign says so, in minutes. */
  deadlineMinutes: number;
}

/**
 * Assigns the package for what is outdated by the current VCI and opens an update. Asking again for
 * the same package gives the same update.
 * @param command an operator's, that is under way: what it names is all there is
 * @throws ProblemError VCI_MISSING, ECU_UNKNOWN, PACKAGE_NOTHING_OUTDATED, UPDATE_NOT_APPROVED,
 *   UPDATE_WINDOW_CLOSED
 */
export async function requestPackage(
  deps: IssueDeps,
  vin: string,
  ecuIds: readonly string[] | undefined,
  command?: UpdateCommand,
): Promise<PackageAnswer> {
  const vci = await currentVci(deps.db, vin);
  if (vci === undefined) throw new ProblemError("VCI_MISSING", vin);
  const stranger = ecuIds?.find((id) => !vci.ecus.some(({ ecu_id }) => ecu_id === id));
  if (stranger !== undefined) throw new ProblemError("ECU_UNKNOWN", stranger);
  const { vci_id } = vci;
  const { plan, offer, policy, vehicle } = await deps.checkIns.planFor(vin, vci.ecus, command);
  const named = command?.ecu_ids ?? plan.outdated.map(({ ecu }) => ecu.ecu_id);
  const chosen = ecuIds ? named.filter((id) => ecuIds.includes(id)) : named;
  const isPart = ecuIds !== undefined || command?.ecu_ids !== undefined;
  const wanted = isPart ? partOf(plan.outdated, chosen) : plan.outdated;
  if (wanted.length === 0) throw new ProblemError("PACKAGE_NOTHING_OUTDATED");
  demandPermission(policy, vehicle, command, new Date());
  const found = await packageFor(deps, wanted);
  // Another gateway has archived an image meanwhile: plan again without it.
  if (found === undefined) return requestPackage(deps, vin, ecuIds, command);
  const expires_at = new Date(Date.now() + deps.ttlHours * 3_600_000);
  const { package_id, sha256 } = found;
  const { policy_id, name, source, mode } = policy;
  const command_id = command?.command_id ?? null;
  const grounds = { policy: { policy_id, name, source, mode }, command_id };
  const assigned = { vci_id, package_id, sha256, wanted, offer, grounds, expires_at };
  const update_id = await deps.db
    .transaction()
    .execute((tx) => openUpdate(deps, tx, vin, assigned));
  // The vehicle has sent another VCI meanwhile: plan again by that one.
  if (update_id === undefined) return requestPackage(deps, vin, ecuIds, command);
  return packageAnswer(found, wanted, update_id, expires_at);
}

/** @returns undefined when an image has been archived since it was planned; the catalogue is read anew */
async function packageFor(
  { db, assembler, checkIns }: IssueDeps,
  wanted: readonly PlannedEcu[],
): Promise<Package | undefined> {
  const firmware = await firmwareByIds(db, [
    ...new Set(wanted.map(({ release }) => release.firmware_id)),
  ]);
  const byId = new Map(firmware.map((each) => [each.firmware_id, each]));
  const contents = wanted.flatMap(({ ecu, release }) => {
    const image = byId.get(release.firmware_id);
    return image ? [{ ecu_id: ecu.ecu_id, zone_id: ecu.zone_id, firmware: image }] : [];
  });
  try {
    return await assembler.packageOf(contents);
  } catch (error) {
    if (!(error instanceof ProblemError && error.code === "FIRMWARE_ARCHIVED")) throw error;
    await checkIns.refresh();
    return undefined;
  }
}

interface PlannedUpdate {
  /** The VCI that it was planned by. */
  vci_id: string;
  package_id: string;
  /** Of the file that the vehicle is told of. */
  sha256: string;
  wanted: readonly PlannedEcu[];
  offer: Offer | undefined;
  grounds: Grounds;
  expires_at: Date;
}

/** @returns the update's id; undefined when the VCI it was planned by is no longer the current one */
async function openUpdate(
  deps: IssueDeps,
  tx: Tx,
  vin: string,
  { vci_id, package_id, sha256, wanted, offer, grounds, expires_at }: PlannedUpdate,
): Promise<string | undefined> {
  const open = await queries.lockOpenUpdate(tx, vin);
  const vci = await currentVci(tx, vin);
  if (vci?.vci_id !== vci_id) return undefined;
  await assignPackage(tx, { vin, package_id, sha256, expires_at });
  const campaign_id = offer?.campaign_id ?? null;
  if (open?.package_id === package_id && open.campaign_id === campaign_id) {
    await queries.renewWaiting(tx, open.update_id);
    return open.update_id;
  }
  if (open) {
    const message = `the vehicle asked for ${package_id} instead`;
    const error = { code: "UPDATE_SUPERSEDED", message };
    await step(deps, tx, vin, open, { type: "superseded" }, error);
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
  const deadline_min = offer?.deadline_min ?? deps.deadlineMinutes;
  const made = { update_id, vin, package_id, targets, campaign_id, deadline_min };
  await begin(deps, tx, { ...made, grounds });
  return update_id;
}
