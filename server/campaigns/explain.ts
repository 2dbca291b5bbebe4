import type { Explanation, ExplainQuery } from "#protocol/api/explain.ts";
import type { Firmware } from "#protocol/api/firmware.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { explainRelease, type ReleaseExplanation } from "#server/firmware/explanation.ts";
import { firmwareById } from "#server/firmware/queries.ts";
import type { Releases } from "#server/firmware/release-book.ts";
import type { Policy } from "#server/policies/policy.ts";
import type { PolicyBook } from "#server/policies/policy-book.ts";
import { permission } from "#server/policies/readiness.ts";
import { targetVehicle } from "#server/targeting/vehicles.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import { createPlans, type Plans } from "#server/updates/plans.ts";
import { vehicleByVin } from "#server/vehicles/queries.ts";
import { explainCampaigns } from "./explain-campaigns.ts";
import { firmwareIdOf, offerState, updateUnderWay } from "./explain-queries.ts";
import type { CampaignOffers } from "./offers.ts";

export interface ExplainDeps {
  db: Db;
  releases: { current(): Releases };
  offers: CampaignOffers;
  policies: Pick<PolicyBook, "policyFor">;
}

type Reason = Explanation["reasons"][number];
type UpdateUnderWay = Awaited<ReturnType<typeof updateUnderWay>>;

/** @returns what explains, by the same plans that vehicles are given */
export function createExplainer(deps: ExplainDeps) {
  const plans = createPlans(deps);
  return (vin: string, query: ExplainQuery, now: Date) =>
    explain({ ...deps, plans }, vin, query, now);
}

/**
 * Why a vehicle gets a firmware, or each reason why it does not.
 * @throws ProblemError VEHICLE_UNKNOWN, FIRMWARE_UNKNOWN, REQUEST_INVALID
 */
async function explain(
  deps: ExplainDeps & { plans: Plans },
  vin: string,
  query: ExplainQuery,
  now: Date,
): Promise<Explanation> {
  const { db, offers, policies } = deps;
  const firmware = await demandFirmware(db, query);
  const vehicle = await targetVehicle(db, vin);
  const record = await vehicleByVin(db, vin);
  if (vehicle === undefined || record === undefined) throw new ProblemError("VEHICLE_UNKNOWN", vin);
  const state = await offerState(db, vin, offers);
  const update = await updateUnderWay(db, vin);
  const { offer, found } = planned(deps, vehicle, state, firmware, now);
  const policy = policies.policyFor(vehicle);
  const ecus = (found?.ecus ?? []).map(asExplainedEcu);
  const reasons = [
    ...reasonsOfFirmware(firmware),
    ...reasonsOfVehicle(vehicle, record.min_profile, firmware),
    ...reasonsOfUpdate(update, firmware),
    ...permission({ policy, time_zone: vehicle.time_zone, approval: undefined, now }),
  ];
  const { firmware_id, ecu_type, version, channel, availability } = firmware;
  return {
    vin,
    firmware: { firmware_id, ecu_type, version, channel, availability },
    verdict: verdictOf(ecus, reasons, brings(update, firmware)),
    reasons,
    ecus,
    campaigns: await explainCampaigns(deps, { vehicle, state, firmware, offer }),
    policy: asEffective(policy),
    update: update
      ? { update_id: update.update_id, status: update.status, campaign_id: update.campaign_id }
      : null,
  };
}

/** @throws ProblemError FIRMWARE_UNKNOWN, REQUEST_INVALID */
async function demandFirmware(
  db: Db,
  { firmware_id, ecu_type, version }: ExplainQuery,
): Promise<Firmware> {
  const byName = ecu_type !== undefined && version !== undefined;
  if ((firmware_id === undefined) !== byName) {
    throw new ProblemError("REQUEST_INVALID", "needs either firmware_id, or ecu_type and version");
  }
  const id = byName ? await firmwareIdOf(db, ecu_type, version) : firmware_id;
  const firmware = id === undefined ? undefined : await firmwareById(db, id);
  if (firmware) return firmware;
  throw new ProblemError("FIRMWARE_UNKNOWN", firmware_id ?? `${ecu_type} ${version}`);
}

/** What the vehicle is offered now, and what that means for the firmware. */
function planned(
  { releases, plans }: ExplainDeps & { plans: Plans },
  vehicle: TargetVehicle,
  state: unknown,
  { firmware_id }: Firmware,
  now: Date,
) {
  const { inventory, channel } = vehicle;
  if (inventory === null) return { offer: undefined, found: undefined };
  const { offer } = plans.planFor({ ...vehicle, inventory }, state, now);
  const { byType } = releases.current();
  const types = new Set(inventory.ecus.map(({ ecu_type }) => ecu_type));
  const catalogue = [...types].flatMap((type) => byType.get(type) ?? []);
  const only = offer && { only: new Set(offer.releases) };
  const found = explainRelease(inventory.ecus, catalogue, channel, firmware_id, only);
  return { offer, found };
}

function asExplainedEcu(verdict: ReleaseExplanation["ecus"][number]): Explanation["ecus"][number] {
  const { ecu_id, hardware_version, software_version } = verdict.ecu;
  const reasons = verdict.offer === "none" ? verdict.reasons : [];
  return {
    ...{ ecu_id, hardware_version, software_version },
    offer: verdict.offer,
    after_bundles: verdict.offer === "later" ? verdict.after_bundles : null,
    reasons: reasons.map(({ reason, detail }) => ({ code: reason, detail })),
  };
}

function* reasonsOfFirmware({ status, publication }: Firmware): Generator<Reason> {
  if (status === "archived") {
    yield { code: "FIRMWARE_ARCHIVED", detail: "it was taken out of the catalogue" };
  } else if (publication === "awaiting_signature") {
    yield { code: "FIRMWARE_UNSIGNED", detail: "no signed targets name it yet" };
  }
}

function* reasonsOfVehicle(
  { inventory, profile }: TargetVehicle,
  minProfile: number | null,
  { ecu_type }: Firmware,
): Generator<Reason> {
  if (inventory === null) {
    yield { code: "VCI_MISSING", detail: "the vehicle has not said what it consists of" };
  } else if (!inventory.ecus.some((ecu) => ecu.ecu_type === ecu_type)) {
    yield { code: "ECU_TYPE_ABSENT", detail: `the vehicle has no ${ecu_type}` };
  }
  if (minProfile !== null && (profile ?? -1) < minProfile) {
    const last = profile === null ? "none is known" : `its last one is ${profile}`;
    const detail = `the vehicle must connect by TLS profile ${minProfile}, ${last}`;
    yield { code: "TLS_PROFILE_TOO_WEAK", detail };
  }
}

function* reasonsOfUpdate(update: UpdateUnderWay, firmware: Firmware): Generator<Reason> {
  if (update === undefined) return;
  if (brings(update, firmware)) yield* update.deferral ?? [];
  // What has not begun gives way to whatever the vehicle asks for next.
  else if (update.status !== "pending") {
    const detail = `update ${update.update_id} is ${update.status}`;
    yield { code: "UPDATE_UNDER_WAY", detail };
  }
}

function brings(update: UpdateUnderWay, { firmware_id }: Firmware): boolean {
  return update?.targets.some((target) => target.firmware_id === firmware_id) ?? false;
}

function verdictOf(
  ecus: Explanation["ecus"],
  reasons: readonly Reason[],
  isUnderWay: boolean,
): Explanation["verdict"] {
  const some = (...offers: Explanation["ecus"][number]["offer"][]) =>
    ecus.some(({ offer }) => offers.includes(offer));
  if (isUnderWay) return "under_way";
  if (some("now")) return reasons.length === 0 ? "offered" : "waits";
  if (some("later")) return "later";
  return some("installed", "newer_installed") && !some("none") ? "installed" : "not_offered";
}

function asEffective({ source, policy_id, name, ...settings }: Policy): Explanation["policy"] {
  return { source, policy_id, name, settings };
}
