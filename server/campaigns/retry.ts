import type { Tx } from "#server/database/connection.ts";
import { BATCH, type BatchDeps } from "./batch.ts";
import { broughtTo } from "./brought.ts";
import type { Campaign, CampaignVehicle } from "./campaign.ts";
import { acknowledged, isNewDtcs, retried } from "./participation.ts";
import {
  ecusByVin,
  isOneLeft,
  lockSome,
  releasesBrought,
  saveStandings,
  type Standers,
} from "./progress-queries.ts";
import { lockCampaign } from "./queries.ts";
import { endWork } from "./work-queries.ts";

/**
 * Gives vehicles another try that failed before an operator asked for it, in batches for as long as
 * `mayGoOn`.
 * @returns how many
 */
export async function retryFailed(
  { db, counted }: BatchDeps,
  campaignId: string,
  now: Date,
  mayGoOn: () => boolean = () => true,
): Promise<number> {
  let count = 0;
  let batch: number;
  do {
    batch = await db.transaction().execute(async (tx) => {
      const campaign = await lockCampaign(tx, campaignId);
      return campaign === undefined ? 0 : retryBatch(tx, campaign, now);
    });
    count += batch;
  } while (batch > 0 && mayGoOn());
  if (count > 0) counted(campaignId);
  return count;
}

async function retryBatch(tx: Tx, campaign: Campaign, now: Date): Promise<number> {
  const { campaign_id, state, retry_at: until } = campaign;
  if (until === null) return 0;
  const isOver = state !== "running" && state !== "paused";
  const which: Standers = { statuses: ["failed", "rolled_back"], until };
  const batch = isOver ? [] : await lockSome(tx, campaign_id, which, BATCH);
  const needNothing = await thoseWithAll(tx, campaign, batch);
  await saveStandings(
    tx,
    campaign_id,
    batch.map((before) => {
      const { vin, wave } = before;
      const isThere = needNothing.has(vin);
      const after = isThere ? acknowledged(before, campaign, now) : retried(before);
      return { vin, wave, before, after };
    }),
  );
  if (isOver || !(await isOneLeft(tx, campaign_id, which))) await endWork(tx, campaign_id, "retry");
  return batch.length;
}

/** Of the vehicles that failed by new DTCs alone, those that run all of the campaign still. */
async function thoseWithAll(
  tx: Tx,
  { releases }: Campaign,
  vehicles: readonly CampaignVehicle[],
): Promise<Set<string>> {
  const vins = vehicles.filter(({ reason }) => isNewDtcs(reason)).map(({ vin }) => vin);
  const shown = [...(await ecusByVin(tx, vins))];
  const brought = shown.length === 0 ? [] : await releasesBrought(tx, releases);
  return new Set(
    shown.filter(([, ecus]) => broughtTo(ecus, brought) === "all").map(([vin]) => vin),
  );
}
