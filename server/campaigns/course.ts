import type { CampaignReason } from "#protocol/api/campaign.ts";
import { problems, ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { demandReleases } from "./actions.ts";
import { nextState, type Campaign, type CampaignInput } from "./campaign.ts";
import { moveCampaign } from "./move.ts";
import { campaignsWithoutReleases, dueCampaigns, isUnderWay, lockCampaign } from "./queries.ts";

export interface CourseDeps {
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
  let moved = 0;
  for (const { campaign_id } of await dueCampaigns(deps.db, now)) {
    if (await inTransaction(deps.db, campaign_id, (tx, campaign) => takeDue(tx, campaign, now))) {
      moved++;
    }
  }
  if (moved > 0) await deps.changed();
  return moved;
}

/**
 * Pauses campaigns whose firmware, or what it requires, can't be had any more.
 * @returns how many
 */
export async function haltWithdrawn(deps: CourseDeps, now: Date): Promise<number> {
  let halted = 0;
  const seen = new Set<string>();
  for (const each of await campaignsWithoutReleases(deps.db)) {
    const { campaign_id } = each;
    if (seen.has(campaign_id)) continue;
    seen.add(campaign_id);
    const reason = reasonOf(each);
    if (await inTransaction(deps.db, campaign_id, (tx, it) => take(tx, it, "halt", now, reason))) {
      halted++;
    }
  }
  if (halted > 0) await deps.changed();
  return halted;
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

async function inTransaction(
  db: Db,
  campaignId: string,
  what: (tx: Tx, campaign: Campaign) => Promise<boolean>,
): Promise<boolean> {
  return db.transaction().execute(async (tx) => {
    const campaign = await lockCampaign(tx, campaignId);
    return campaign !== undefined && what(tx, campaign);
  });
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
