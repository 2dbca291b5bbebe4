import type { CampaignReason } from "#protocol/api/campaign.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Tx } from "#server/database/connection.ts";
import type { Campaign } from "./campaign.ts";
import { countActive, noteReason } from "./queries.ts";

const FULL = "CAMPAIGNS_FULL";

/**
 * Each active campaign costs something with each check-in. For a transaction that has just started
 * one: what it has written to the audit log makes others wait, so that the number holds.
 * @throws ProblemError CAMPAIGNS_FULL
 */
export async function demandRoom(tx: Tx, maxActive: number): Promise<void> {
  if ((await countActive(tx)) <= maxActive) return;
  const detail = `${maxActive} campaigns are active, as many as campaigns.max_active allows`;
  throw new ProblemError(FULL, detail);
}

/** Says of a locked campaign that its time has come, and why it has not started. */
export async function noteWaiting(
  tx: Tx,
  campaign: Campaign,
  maxActive: number,
): Promise<Campaign> {
  if (isWaiting(campaign)) return campaign;
  const detail = `${maxActive} campaigns are active, as many as campaigns.max_active allows: it starts once another is over`;
  return noteReason(tx, campaign.campaign_id, { code: FULL, detail });
}

/** Is it noted that there was no room when its time had come? */
export function isWaiting({ state_reason }: { state_reason: CampaignReason | null }): boolean {
  return state_reason?.code === FULL;
}
