import type { CampaignReason } from "#protocol/api/campaign.ts";
import { problems, ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { demandReleases } from "./actions.ts";
import type { RoundDeps } from "./batch.ts";
import { nextState, type Campaign, type CampaignInput } from "./campaign.ts";
import { eachCampaign } from "./each-campaign.ts";
import { moveCampaign } from "./move.ts";
import { campaignsWithoutReleases, dueCampaigns, isUnderWay, lockCampaign } from "./queries.ts";

export interface CourseDeps extends RoundDeps {
  db: Db;
  /** Called once a change is committed. */
  changed: () => Promise<void>;
}

/**
 * Starts and ends campaigns whose time has come, and finishes those with nobody under way. Time that
 * jumps back undoes nothing.
 * @returns how many have moved
 */
export async function keepCourse(deps: CourseDeps, now: Date): Promise<number> {
  const due = (await dueCampaigns(deps.db, now)).map(({ campaign_id }) => campaign_id);
  return move(deps, "course", due, (tx, campaign) => takeDue(tx, campaign, now));
}

/**
 * Pauses campaigns whose firmware, or what it requires, can't be had any more.
 * @returns how many
 */
export async function haltWithdrawn(deps: CourseDeps, now: Date): Promise<number> {
  const reasons = new Map<string, CampaignReason>();
  for (const each of await campaignsWithoutReleases(deps.db)) {
    if (!reasons.has(each.campaign_id)) reasons.set(each.campaign_id, reasonOf(each));
  }
  return move(deps, "withdrawn releases", [...reasons.keys()], (tx, campaign) =>
    take(tx, campaign, "halt", now, reasons.get(campaign.campaign_id)),
  );
}

function reasonOf(lost: { firmware_id: string; requires: string | null }): CampaignReason {
  return lost.requires === null
    ? {
        code: "CAMPAIGN_RELEASE_WITHDRAWN",
        detail: `firmware ${lost.firmware_id} can't be had any more`,
      }
    : {
        code: "CAMPAIGN_REQUIREMENT_WITHDRAWN",
        detail: `firmware ${lost.firmware_id} requires ${lost.requires}, which was archived`,
      };
}

/** Each in a transaction of its own. @returns how many have moved */
async function move(
  { db, changed, log }: CourseDeps,
  work: string,
  campaignIds: readonly string[],
  what: (tx: Tx, campaign: Campaign) => Promise<boolean>,
): Promise<number> {
  const { done } = await eachCampaign(log, work, campaignIds, async (campaignId) => {
    const hasMoved = await db.transaction().execute(async (tx) => {
      const campaign = await lockCampaign(tx, campaignId);
      return campaign !== undefined && what(tx, campaign);
    });
    return hasMoved ? 1 : 0;
  });
  if (done > 0) await changed();
  return done;
}

/** What is due is looked at again: somebody else may have been faster. */
async function takeDue(tx: Tx, campaign: Campaign, now: Date): Promise<boolean> {
  const { campaign_id, state, starts_at, ends_at } = campaign;
  if (state === "finishing") {
    return !(await isUnderWay(tx, campaign_id)) && take(tx, campaign, "drain", now);
  }
  if (ends_at !== null && ends_at <= now) {
    const detail = `its end was ${ends_at.toISOString()}`;
    return take(tx, campaign, "end", now, { code: "CAMPAIGN_OVER", detail });
  }
  if (starts_at === null || starts_at > now || state !== "scheduled") return false;
  const lacking = await lackingReleases(tx, campaign);
  return lacking === undefined
    ? take(tx, campaign, "start", now)
    : take(tx, campaign, "halt", now, lacking);
}

/** What stands against its start since it was approved. */
async function lackingReleases(tx: Tx, campaign: Campaign): Promise<CampaignReason | undefined> {
  try {
    await demandReleases(tx, campaign);
    return undefined;
  } catch (error) {
    if (error instanceof ProblemError) {
      const { code, message } = error;
      return { code, detail: `${problems[code].title}: ${message}` };
    }
    throw error;
  }
}

async function take(
  tx: Tx,
  campaign: Campaign,
  input: CampaignInput,
  now: Date,
  reason?: CampaignReason,
): Promise<boolean> {
  if (nextState(campaign.state, input) === undefined) return false;
  // What somebody said when it came to finish still holds when it has.
  const kept = reason ?? (input === "drain" ? (campaign.state_reason ?? undefined) : undefined);
  await moveCampaign(tx, campaign, { input, actor: "gateway", now, reason: kept });
  return true;
}
