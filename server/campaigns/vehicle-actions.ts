import type { CampaignAction } from "#protocol/api/campaign.ts";
import type { CampaignRollback } from "#protocol/api/campaign-progress.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import { emit } from "#server/events/outbox.ts";
import type { Operator } from "#server/http/access.ts";
import { demandCampaign } from "./actions.ts";
import type { Campaign } from "./campaign.ts";
import { changeCampaign } from "./queries.ts";
import { retryFailed } from "./retry.ts";
import { tellToRevert, type RevertDeps } from "./revert.ts";

export interface VehicleActionDeps extends RevertDeps {
  now?: () => Date;
}

/**
 * Gives the vehicles of a campaign that failed another try: the first ones at once, the others by
 * maintenance.
 * @throws ProblemError CAMPAIGN_UNKNOWN, CAMPAIGN_CHANGED, CAMPAIGN_STATE
 */
export async function retryVehicles(
  deps: VehicleActionDeps,
  campaignId: string,
  operator: Operator,
  { revision, comment }: CampaignAction,
): Promise<Campaign> {
  const now = deps.now?.() ?? new Date();
  const order = { what: "retry", states: ["running", "paused"], revision, comment } as const;
  const campaign = await take(deps, campaignId, operator, { ...order, change: { retry_at: now } });
  await retryFailed(deps, campaignId, now, () => false);
  return campaign;
}

/**
 * Has the vehicles of a campaign that succeeded go back to what they ran before, so many a minute;
 * it must not be giving it to them again.
 * @throws ProblemError CAMPAIGN_UNKNOWN, CAMPAIGN_STATE
 */
export async function rollBackVehicles(
  deps: VehicleActionDeps,
  campaignId: string,
  operator: Operator,
  { per_min, comment }: CampaignRollback,
): Promise<Campaign> {
  const now = deps.now?.() ?? new Date();
  const states = ["paused", "stopped", "finished"] as const;
  const change = { revert_at: now, revert_by: operator.name, revert_per_min: per_min };
  const order = { what: "rollback", states, comment, change, detail: { per_min } } as const;
  const campaign = await take(deps, campaignId, operator, order);
  await tellToRevert(deps, campaignId, now);
  return campaign;
}

interface Order {
  what: "retry" | "rollback";
  states: readonly Campaign["state"][];
  revision?: number | undefined;
  comment?: string | undefined;
  change: Parameters<typeof changeCampaign>[2];
  detail?: Record<string, unknown>;
}

async function take(
  { db, now: clock }: VehicleActionDeps,
  campaignId: string,
  operator: Operator,
  { what, states, revision, comment, change, detail }: Order,
): Promise<Campaign> {
  return db.transaction().execute(async (tx) => {
    const { state } = await demandCampaign(tx, campaignId, revision);
    if (!states.includes(state)) {
      const allowed = states.join(", ");
      const why = `${what} is for a campaign that is ${allowed}; it is ${state}`;
      throw new ProblemError("CAMPAIGN_STATE", why);
    }
    const campaign = await changeCampaign(tx, campaignId, change);
    const { name } = campaign;
    const said = { name, ...(comment !== undefined && { comment }), ...detail };
    const kind = what === "retry" ? "campaign.retried" : "campaign.rolled_back";
    await emit(tx, { kind, subject: campaignId, data: { ...said, by: operator.name } });
    await appendEntry(
      tx,
      {
        actor: `operator:${operator.name}`,
        action: `campaign.${what}`,
        subject: campaignId,
        detail: { ...said, token_id: operator.token_id },
      },
      clock?.(),
    );
    return campaign;
  });
}
