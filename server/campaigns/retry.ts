import type { Tx } from "#server/database/connection.ts";
import { BATCH, type BatchDeps } from "./batch.ts";
import type { Campaign } from "./campaign.ts";
import { retried } from "./participation.ts";
import { isOneLeft, lockSome, saveStandings, type Standers } from "./progress-queries.ts";
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
  mayGoOn: () => boolean = () => true,
): Promise<number> {
  let count = 0;
  let batch: number;
  do {
    batch = await db.transaction().execute(async (tx) => {
      const campaign = await lockCampaign(tx, campaignId);
      return campaign === undefined ? 0 : retryBatch(tx, campaign);
    });
    count += batch;
  } while (batch > 0 && mayGoOn());
  if (count > 0) counted(campaignId);
  return count;
}

async function retryBatch(
  tx: Tx,
  { campaign_id, state, retry_at: until }: Campaign,
): Promise<number> {
  if (until === null) return 0;
  const isOver = state !== "running" && state !== "paused";
  const which: Standers = { statuses: ["failed", "rolled_back"], until };
  const batch = isOver ? [] : await lockSome(tx, campaign_id, which, BATCH);
  await saveStandings(
    tx,
    campaign_id,
    batch.map((before) => {
      const { vin, wave } = before;
      return { vin, wave, before, after: retried(before) };
    }),
  );
  if (isOver || !(await isOneLeft(tx, campaign_id, which))) await endWork(tx, campaign_id, "retry");
  return batch.length;
}
