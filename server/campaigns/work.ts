import type { RoundDeps } from "./batch.ts";
import { eachCampaign } from "./each-campaign.ts";
import { retryFailed } from "./retry.ts";
import { followReverting, tellToRevert, type RevertDeps } from "./revert.ts";
import { campaignsReverting, campaignsWithWork } from "./work-queries.ts";

/** Goes on with what operators have asked for many vehicles at once, for as long as `mayGoOn`. */
export async function doWork(
  deps: RevertDeps & RoundDeps,
  now: Date,
  mayGoOn: () => boolean,
): Promise<void> {
  const { db, log } = deps;
  const asked = await campaignsWithWork(db);
  const idsOf = (some: typeof asked) => some.map(({ campaign_id }) => campaign_id);
  const toRetry = idsOf(asked.filter(({ retry_at }) => retry_at !== null));
  const toRevert = idsOf(asked.filter(({ revert_at }) => revert_at !== null));
  await eachCampaign(log, "retry", toRetry, (id) => retryFailed(deps, id, now, mayGoOn));
  await eachCampaign(log, "rollback", toRevert, (id) => tellToRevert(deps, id, now));
  const reverting = await campaignsReverting(db);
  await eachCampaign(log, "reverting", reverting, (id) => followReverting(deps, id, now));
}
