import { retryFailed } from "./retry.ts";
import { followReverting, tellToRevert, type RevertDeps } from "./revert.ts";
import { campaignsReverting, campaignsWithWork } from "./work-queries.ts";

/** Goes on with what operators have asked for many vehicles at once, for as long as `mayGoOn`. */
export async function doWork(deps: RevertDeps, now: Date, mayGoOn: () => boolean): Promise<void> {
  for (const { campaign_id, retry_at, revert_at } of await campaignsWithWork(deps.db)) {
    if (retry_at !== null) await retryFailed(deps, campaign_id, mayGoOn);
    if (revert_at !== null) await tellToRevert(deps, campaign_id, now);
  }
  for (const campaignId of await campaignsReverting(deps.db)) {
    await followReverting(deps, campaignId, now);
  }
}
