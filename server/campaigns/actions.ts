import type { CampaignAction, CampaignSchedule } from "#protocol/api/campaign.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { firmwareByIds } from "#server/firmware/queries.ts";
import type { Operator } from "#server/http/access.ts";
import { samePerson } from "#server/http/operator-name.ts";
import { demandNext, type Campaign, type CampaignInput } from "./campaign.ts";
import {
  checkContent,
  checkReleases,
  checkTimes,
  demandTarget,
  demandTimeLeft,
} from "./content.ts";
import { moveCampaign, type Move } from "./move.ts";
import { countMembers } from "./members.ts";
import { campaignById, campaignsWithoutReleases, countActive, lockCampaign } from "./queries.ts";
import { demandRoom, noteWaiting } from "./room.ts";

export interface CampaignDeps {
  db: Db;
  /** Whether another person has to approve; else what is submitted is approved. */
  approval: boolean;
  /** So many campaigns may be active at the same time. */
  maxActive: number;
  /** Called once a change is committed. */
  changed: () => Promise<void>;
  now?: () => Date;
}

/** What operators do with a campaign, but for its content. */
export type OperatorInput = Exclude<CampaignInput, "halt" | "end" | "drain" | "schedule">;

/**
 * Takes a campaign to its next state for an operator.
 * @throws ProblemError CAMPAIGN_UNKNOWN, CAMPAIGN_STATE, CAMPAIGN_CHANGED; CAMPAIGN_OWN_APPROVAL;
 *   what a campaign must hold to be submitted, started or resumed; CAMPAIGNS_FULL
 */
export async function act(
  deps: CampaignDeps,
  campaignId: string,
  input: OperatorInput,
  operator: Operator,
  said: CampaignAction,
): Promise<Campaign> {
  // Counting takes a while, and a transaction of its own: what was counted is what is submitted.
  const revision =
    input === "submit" ? await demandMembers(deps.db, campaignId, said.revision) : said.revision;
  return change(deps, campaignId, operator, { ...said, revision }, async (tx, campaign, by) => {
    demandNext(campaign, input);
    switch (input) {
      case "submit":
        return submit(deps, tx, campaign, by);
      case "approve":
        demandAnother(campaign, operator);
        return approve(deps, tx, campaign, { ...by, change: approvedBy(operator.name, by.now) });
      case "start":
      case "resume": {
        demandTimeLeft(campaign, by.now);
        await demandReleases(tx, campaign);
        const moved = await moveCampaign(tx, campaign, { ...by, input });
        await demandRequirements(tx, moved);
        if (campaign.started_at === null) await demandRoom(tx, deps.maxActive);
        return moved;
      }
      case "reject":
      case "withdraw":
      case "pause":
      case "finish":
      case "stop":
        return moveCampaign(tx, campaign, { ...by, input });
    }
  });
}

/**
 * Sets when an approved campaign starts by itself, and ends.
 * @throws ProblemError CAMPAIGN_UNKNOWN, CAMPAIGN_STATE, CAMPAIGN_CHANGED, CAMPAIGN_TIMES_INVALID
 */
export async function schedule(
  deps: CampaignDeps,
  campaignId: string,
  operator: Operator,
  said: CampaignSchedule,
): Promise<Campaign> {
  return change(deps, campaignId, operator, said, async (tx, campaign, by) => {
    demandNext(campaign, "schedule");
    const times = {
      starts_at: asDate(said.starts_at),
      ends_at: said.ends_at === undefined ? campaign.ends_at : asDate(said.ends_at),
    };
    checkTimes(times);
    demandTimeLeft(times, by.now);
    const detail = { ...by.detail, ...times };
    return moveCampaign(tx, campaign, { ...by, input: "schedule", change: times, detail });
  });
}

/** Does what an operator wants with a locked campaign, and tells of it once it is committed. */
async function change(
  deps: CampaignDeps,
  campaignId: string,
  operator: Operator,
  { revision, comment }: { revision?: number | undefined; comment?: string },
  what: (tx: Tx, campaign: Campaign, by: Omit<Move, "input">) => Promise<Campaign>,
): Promise<Campaign> {
  const now = deps.now?.() ?? new Date();
  const changed = await deps.db.transaction().execute(async (tx) => {
    const campaign = await demandCampaign(tx, campaignId, revision);
    return what(tx, campaign, {
      actor: `operator:${operator.name}`,
      now,
      reason:
        comment === undefined
          ? undefined
          : { code: "CAMPAIGN_BY_OPERATOR", detail: `${operator.name}: ${comment}` },
      detail: { token_id: operator.token_id },
    });
  });
  await deps.changed();
  return changed;
}

/**
 * A campaign as it was read, locked until the transaction ends.
 * @throws ProblemError CAMPAIGN_UNKNOWN, CAMPAIGN_CHANGED
 */
export async function demandCampaign(
  tx: Tx,
  campaignId: string,
  revision: number | undefined,
): Promise<Campaign> {
  const campaign = await lockCampaign(tx, campaignId);
  if (campaign === undefined) throw new ProblemError("CAMPAIGN_UNKNOWN", campaignId);
  demandRevision(campaign, revision);
  return campaign;
}

/** @throws ProblemError CAMPAIGN_CHANGED */
function demandRevision(campaign: Campaign, revision: number | undefined): void {
  if (revision === undefined || revision === campaign.revision) return;
  const detail = `revision ${revision} was read, it is ${campaign.revision} now`;
  throw new ProblemError("CAMPAIGN_CHANGED", detail);
}

/**
 * Refuses a campaign that nobody can be in.
 * @returns the revision that this holds for
 */
async function demandMembers(
  db: Db,
  campaignId: string,
  revision: number | undefined,
): Promise<number> {
  const campaign = await campaignById(db, campaignId);
  if (campaign === undefined) throw new ProblemError("CAMPAIGN_UNKNOWN", campaignId);
  demandNext(campaign, "submit");
  demandRevision(campaign, revision);
  demandTarget(campaign);
  if ((await countMembers(db, campaign)) === 0) {
    throw new ProblemError("CAMPAIGN_EMPTY", campaign.filter ?? undefined);
  }
  return campaign.revision;
}

async function submit(
  deps: CampaignDeps,
  tx: Tx,
  campaign: Campaign,
  by: Omit<Move, "input">,
): Promise<Campaign> {
  checkContent(campaign);
  demandTimeLeft(campaign, by.now);
  await demandReleases(tx, campaign);
  const submitted_by = by.actor.replace(/^operator:/, "");
  const submitted = await moveCampaign(tx, campaign, {
    ...by,
    input: "submit",
    change: { submitted_by, submitted_at: by.now },
  });
  if (deps.approval) return submitted;
  return approve(deps, tx, submitted, { actor: "gateway", now: by.now, reason: by.reason });
}

/** An approved campaign whose time has come starts at once, unless it has to wait for others. */
async function approve(
  { maxActive }: CampaignDeps,
  tx: Tx,
  campaign: Campaign,
  by: Omit<Move, "input">,
): Promise<Campaign> {
  demandTimeLeft(campaign, by.now);
  await demandReleases(tx, campaign);
  const approved = await moveCampaign(tx, campaign, { ...by, input: "approve" });
  const { starts_at } = approved;
  if (starts_at === null || starts_at > by.now) return approved;
  if ((await countActive(tx)) >= maxActive) return noteWaiting(tx, approved, maxActive);
  return moveCampaign(tx, approved, { actor: "gateway", now: by.now, input: "start" });
}

function approvedBy(name: string, now: Date) {
  return { approved_by: name, approved_at: now };
}

/** @throws ProblemError CAMPAIGN_OWN_APPROVAL */
function demandAnother({ authors, submitted_by }: Campaign, { name }: Operator): void {
  const hands = submitted_by === null ? authors : [...authors, submitted_by];
  const own = hands.find((each) => samePerson(each, name));
  if (own !== undefined) {
    throw new ProblemError("CAMPAIGN_OWN_APPROVAL", `${own} has made or submitted it`);
  }
}

/** @throws ProblemError as {@link checkReleases} */
export async function demandReleases(db: Db, { releases }: Pick<Campaign, "releases">) {
  checkReleases(releases, releases.length === 0 ? [] : await firmwareByIds(db, releases));
}

/**
 * Refuses to go on with a campaign that would be paused again at once.
 * @throws ProblemError CAMPAIGN_RELEASE_UNAVAILABLE
 */
async function demandRequirements(tx: Tx, { campaign_id }: Campaign): Promise<void> {
  const [lost] = await campaignsWithoutReleases(tx, campaign_id);
  if (lost === undefined) return;
  const detail = `${lost.firmware_id} requires ${lost.requires}, which was archived`;
  throw new ProblemError("CAMPAIGN_RELEASE_UNAVAILABLE", detail);
}

/** @returns an invalid date where there is no such day; `Date` takes 31 February for 3 March */
export function asDate(time: string | null | undefined): Date | null {
  if (time === null || time === undefined) return null;
  const day = time.slice(0, 10);
  const isDay = new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
  return new Date(isDay ? time : NaN);
}
