import { commandById } from "#server/commands/queries.ts";
import type { Tx } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import { share } from "#server/targeting/membership.ts";
import type { UpdateListener, UpdateMoved } from "#server/updates/moved.ts";
import { updateById } from "#server/updates/queries.ts";
import { hasStarted, isFinal } from "#server/updates/update.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import { broughtTo, type Brought } from "./brought.ts";
import { waveOf } from "./campaign.ts";
import {
  afterMove,
  afterNewDtcs,
  afterReport,
  isContradiction,
  isSilence,
  type Participation,
  type Reported,
} from "./participation.ts";
import {
  ecusOf,
  lockCampaignVehicle,
  lockConcerned,
  releasesBrought,
  saveStandings,
  sharesOf,
  targetsInCampaign,
  type LockedVehicle,
} from "./progress-queries.ts";
import type { NewDtc } from "./table.ts";

/** How vehicles come to count in their campaigns. */
export interface Progress extends UpdateListener {
  /** DTCs are there after an update that were not there before it; the vehicle is locked. */
  newDtcs(
    tx: Tx,
    update: { update_id: string; vin: string },
    dtcs: readonly NewDtc[],
  ): Promise<void>;
}

export interface ProgressDeps {
  /** Called, before the commit, when the counters of a campaign change. */
  counted: (campaignId: string) => void;
  now?: () => Date;
}

type Place = Pick<LockedVehicle, "campaign_id" | "vin" | "wave">;

/**
 * Follows vehicles through their campaigns, in the transactions that move their updates: one look at
 * the vehicle's row and one statement that writes it and the counters, however large a campaign is.
 */
export function createProgress({ counted, now = () => new Date() }: ProgressDeps): Progress {
  async function save(
    tx: Tx,
    place: Place,
    before: Participation | undefined,
    after: Participation | undefined,
  ): Promise<void> {
    if (after === undefined) return;
    await saveStandings(tx, place.campaign_id, [{ ...place, before, after }]);
    await tell(tx, place, before, after);
    counted(place.campaign_id);
  }

  return {
    async moved(tx, update) {
      const { campaign_id, vin } = update;
      if (campaign_id === null || !isOfInterest(update)) return;
      const vehicle = await lockCampaignVehicle(tx, campaign_id, vin);
      const place = vehicle ?? (await newPlace(tx, campaign_id, update));
      if (place === undefined) return;
      const brought =
        vehicle && update.to === "success"
          ? await broughtBy(tx, vehicle, await ecusOf(tx, vin))
          : "nothing";
      const { soak_min = 0, new_dtcs = "ignore" } = vehicle ?? {};
      const rules = { soak_min, new_dtcs };
      await save(tx, place, vehicle, afterMove(vehicle, update, { rules, brought, now: now() }));
    },

    async reported(tx, vin, ecus) {
      for (const vehicle of await lockConcerned(tx, vin)) {
        const brought = await broughtBy(tx, vehicle, ecus);
        const reported = { brought, ecus, ...(await furtherFacts(tx, vehicle, brought)) };
        const after = afterReport(vehicle, reported, { rules: vehicle, now: now() });
        await save(tx, vehicle, vehicle, after);
      }
    },

    async newDtcs(tx, { update_id, vin }, dtcs) {
      const update = await updateById(tx, update_id);
      if (update?.campaign_id === null || update?.campaign_id === undefined) return;
      const vehicle = await lockCampaignVehicle(tx, update.campaign_id, vin);
      // One that went wrong has counted; only what brought the vehicle here counts beside the newest.
      if (vehicle === undefined) return;
      if (vehicle.update_id !== update_id && update.status !== "success") return;
      const { targets } = update;
      const after = afterNewDtcs(vehicle, dtcs, { rules: vehicle, targets, now: now() });
      await save(tx, vehicle, vehicle, after);
    },
  };
}

/** Steps on the way, of which most reports tell, change nothing here. */
function isOfInterest({ from, to }: UpdateMoved): boolean {
  return from === null || isFinal(to) || hasStarted(from) !== hasStarted(to);
}

/** Where a vehicle that has no row belongs; undefined where only its first update would tell. */
async function newPlace(
  tx: Tx,
  campaign_id: string,
  { vin, from }: UpdateMoved,
): Promise<Place | undefined> {
  if (from !== null) return undefined;
  const shares = await sharesOf(tx, campaign_id);
  if (shares === undefined) return undefined;
  return { campaign_id, vin, wave: waveOf(shares, share(campaign_id, vin)) ?? 0 };
}

async function broughtBy(
  tx: Tx,
  { releases }: LockedVehicle,
  ecus: readonly InventoryEcu[],
): Promise<Brought> {
  return broughtTo(ecus, await releasesBrought(tx, releases));
}

/** What has to be known beside a VCI, where it says something that was not expected. */
async function furtherFacts(
  tx: Tx,
  { status, campaign_id, vin, command_id, reason, update_id }: LockedVehicle,
  brought: Brought,
): Promise<Pick<Reported, "targets" | "hasGoneBack">> {
  if (status === "failed" && brought === "lacking" && isSilence(reason) && update_id !== null) {
    const update = await updateById(tx, update_id);
    return { ...nothingFurther, targets: update?.targets ?? [] };
  }
  const isEnded = status === "soaking" || status === "succeeded";
  if (isEnded ? brought !== "lacking" : brought !== "all") return nothingFurther;
  const targets = await targetsInCampaign(tx, campaign_id, vin);
  const command =
    status === "reverting" && command_id !== null ? await commandById(tx, command_id) : undefined;
  return { targets, hasGoneBack: command?.status === "completed" };
}

const nothingFurther = { targets: [], hasGoneBack: false };

async function tell(
  tx: Tx,
  { campaign_id, vin, wave }: Place,
  before: Participation | undefined,
  { status, reason, update_id }: Participation,
): Promise<void> {
  const wasGood = before?.status === "succeeded" || before?.status === "soaking";
  const isBad = status === "failed" || status === "rolled_back";
  const data = { wave, status, reason, update_id };
  if (wasGood && isContradiction(reason)) {
    await emit(tx, { kind: "campaign.vehicle_reopened", vin, subject: campaign_id, data });
  }
  if (isBad && before?.status !== status) {
    await emit(tx, { kind: "campaign.vehicle_failed", vin, subject: campaign_id, data });
  }
}
