import { isolated } from "#server/runtime/isolated.ts";
import type { Log } from "#server/runtime/log.ts";

/**
 * Does a kind of work for one campaign after the other; one that fails keeps nothing from the others.
 * @param what says how much was done
 * @returns how much was done, and for which campaigns it failed
 */
export async function eachCampaign(
  log: Log,
  work: string,
  campaignIds: readonly string[],
  what: (campaignId: string) => Promise<number>,
): Promise<{ done: number; failed: string[] }> {
  const failed: string[] = [];
  let done = 0;
  for (const campaign_id of campaignIds) {
    const some = await isolated(log, { work, campaign_id }, () => what(campaign_id));
    if (some === undefined) failed.push(campaign_id);
    else done += some;
  }
  return { done, failed };
}
