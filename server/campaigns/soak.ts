import type { Db } from "#server/database/connection.ts";
import { BATCH, type BatchDeps, type RoundDeps } from "./batch.ts";
import { eachCampaign } from "./each-campaign.ts";
import { afterSoak } from "./participation.ts";
import { campaignsWithSoaked, lockSoaked, saveStandings } from "./progress-queries.ts";

/**
 * Lets vehicles count as succeeded that have stayed as they are for long enough, in batches for as
 * long as `mayGoOn`. Of several gateways each takes vehicles that no other does.
 * @returns how many
 */
export async function endSoaks(
  { db, counted, log }: BatchDeps & RoundDeps,
  now: Date,
  mayGoOn: () => boolean = () => true,
): Promise<number> {
  /** However many of their vehicles are due, others have their turn. */
  const failing: string[] = [];
  let ended = 0;
  let hasMore: boolean;
  do {
    const campaigns = await campaignsWithSoaked(db, now, BATCH, failing);
    const { done, failed } = await eachCampaign(log, "soaking", campaigns, async (campaignId) => {
      const batch = await endBatch(db, campaignId, now);
      counted(campaignId);
      return batch;
    });
    failing.push(...failed);
    ended += done;
    hasMore = done > 0 || failed.length > 0;
  } while (hasMore && mayGoOn());
  return ended;
}

/** One campaign at a time: counters are locked in one order. */
async function endBatch(db: Db, campaignId: string, now: Date): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const standings = (await lockSoaked(tx, campaignId, now, BATCH)).flatMap((before) => {
      const after = afterSoak(before, now);
      return after ? [{ vin: before.vin, wave: before.wave, before, after }] : [];
    });
    await saveStandings(tx, campaignId, standings);
    return standings.length;
  });
}
