import type { CampaignReason } from "#protocol/api/campaign.ts";
import { problems, ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { demandReleases } from "./actions.ts";
import type { RoundDeps } from "./batch.ts";
import { nextState, type Campaign, type CampaignInput } from "./campaign.ts";
import { eachCampaign } from "./each-campaign.ts";
import { moveCampaign } from "./move.ts";
import {
  campaignsWithoutReleases,
  countActive,
  dueCampaigns,
  isUnderWay,
  lockCampaign,
  type DueCampaign,
} from "./queries.ts";
import { demandRoom, isWaiting, noteWaiting } from "./room.ts";

export interface CourseDeps extends RoundDeps {
  db: Db;
  /** Called once a change is committed. */
  changed: () => Promise<void>;
}

export interface StartDeps extends CourseDeps {
  /** So many campaigns may be active at the same time. */
  maxActive: number;
}

/**
 * Starts and ends campaigns whose time has come, and finishes those with nobody under way. Where too
 * many are active, others wait to start, critical ones first, then by their time. Time that jumps
 * back undoes nothing.
 * @returns how many have moved
 */
export async function keepCourse(deps: StartDeps, now: Date): Promise<number> {
  const due = await dueCampaigns(deps.db, now);
  const starts = due.filter((each) => each.due === "start");
  const ends = due.filter((each) => each.due !== "start");
  const ended = await move(deps, "course", idsOf(ends), (tx, it) => takeEnd(tx, it, now));
  return ended + (starts.length === 0 ? 0 : await startDue(deps, starts, now));
}

async function startDue(deps: StartDeps, due: readonly DueCampaign[], now: Date): Promise<number> {
  const { db, maxActive } = deps;
  const room = Math.max(0, maxActive - (await countActive(db)));
  const [first, others] = [due.slice(0, room), due.slice(room)];
  const started = await move(deps, "course", idsOf(first), (tx, campaign) =>
    takeStart(tx, campaign, maxActive, now),
  );
  // Each is told once: for as long as there is no room, that costs nothing more.
  const toTell = idsOf(others.filter((each) => !isWaiting(each)));
  const told = await move(deps, "course", toTell, async (tx, campaign) => {
    if (!isStartDue(campaign, now)) return false;
    await noteWaiting(tx, campaign, maxActive);
    return true;
  });
  return started + told;
}

function idsOf(campaigns: readonly DueCampaign[]): string[] {
  return campaigns.map(({ campaign_id }) => campaign_id);
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
async function takeEnd(tx: Tx, campaign: Campaign, now: Date): Promise<boolean> {
  const { campaign_id, state, ends_at } = campaign;
  if (state === "finishing") {
    return !(await isUnderWay(tx, campaign_id)) && take(tx, campaign, "drain", now);
  }
  if (ends_at === null || ends_at > now) return false;
  const detail = `its end was ${ends_at.toISOString()}`;
  return take(tx, campaign, "end", now, { code: "CAMPAIGN_OVER", detail });
}

async function takeStart(
  tx: Tx,
  campaign: Campaign,
  maxActive: number,
  now: Date,
): Promise<boolean> {
  if (!isStartDue(campaign, now)) return false;
  const lacking = await lackingReleases(tx, campaign);
  if (lacking !== undefined) return take(tx, campaign, "halt", now, lacking);
  await take(tx, campaign, "start", now);
  await demandRoom(tx, maxActive);
  return true;
}

function isStartDue({ state, starts_at }: Campaign, now: Date): boolean {
  return state === "scheduled" && starts_at !== null && starts_at <= now;
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
