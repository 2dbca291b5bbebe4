import type { Db } from "#server/database/connection.ts";
import { BATCH, type BatchDeps } from "./batch.ts";
import { afterSoak } from "./participation.ts";
import { campaignsWithSoaked, lockSoaked, saveStandings } from "./progress-queries.ts";

/**
 * Lets vehicles count as succeeded that have stayed as they are for long enough, in batches for as
 * long as `mayGoOn`. Of several gateways each takes vehicles that no other does.
 * @returns how many
 */
export async function endSoaks(
  { db, counted }: BatchDeps,
  now: Date,
  mayGoOn: () => boolean = () => true,
): Promise<number> {
  let ended = 0;
  let round: number;
  do {
    round = 0;
    for (const campaignId of await campaignsWithSoaked(db, now, BATCH)) {
      round += await endBatch(db, campaignId, now);
      counted(campaignId);
    }
    ended += round;
  } while (round > 0 && mayGoOn());
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
