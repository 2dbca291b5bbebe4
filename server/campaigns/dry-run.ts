import type { DryRun } from "#protocol/api/dry-run.ts";
import type { Db } from "#server/database/connection.ts";
import { plan, type Plan } from "#server/firmware/planner.ts";
import type { Releases } from "#server/firmware/release-book.ts";
import { boundedCache } from "#server/runtime/bounded-cache.ts";
import { FilterError } from "#server/targeting/filter-error.ts";
import { parseFilter } from "#server/targeting/filter.ts";
import { eachGroup, type Group } from "#server/targeting/groups.ts";
import type { Inventory } from "#server/vehicles/inventory.ts";
import { broughtTo, type BroughtRelease } from "./brought.ts";
import type { Campaign } from "./campaign.ts";
import { checkContent } from "./content.ts";
import { createDryRunTally, type DryRunOutcome, type OtherCampaign } from "./dry-run-tally.ts";
import { warningsOf } from "./dry-run-warnings.ts";
import { membersOf } from "./members.ts";
import { campaignsChangedSince } from "./queries.ts";
import { releasesOf } from "./dry-run-releases.ts";

/** What a dry run has to know of a campaign, or of what is to become one. */
export type DryRunCampaign = Pick<
  Campaign,
  | "campaign_id"
  | "releases"
  | "filter"
  | "vins"
  | "percentage"
  | "waves"
  | "stop_rule"
  | "started_at"
  | "min_profile"
  | "starts_at"
  | "ends_at"
>;

export interface DryRunDeps {
  db: Db;
  releases: { current(): Releases };
}

/** Plans that are kept: of vehicles that are alike in all but their wave. */
const MAX_PLANS = 20_000;
/** Other campaigns that are looked at. */
const MAX_CONFLICTS = 10;

/**
 * What a campaign would do to the fleet as it is, without doing any of it. One statement counts the
 * vehicles by what they consist of; each kind is planned for once.
 * @throws FilterError, ProblemError as {@link checkContent}
 */
export async function dryRun(
  { db, releases }: DryRunDeps,
  campaign: DryRunCampaign,
): Promise<DryRun> {
  checkContent(campaign);
  const current = releases.current();
  const brought = await releasesOf(db, campaign.releases);
  const usable = campaign.releases.flatMap((id) => current.byId.get(id) ?? []);
  const types = new Set(usable.map(({ ecu_type }) => ecu_type));
  const others = await othersFor(db, campaign, current, types);
  const tally = createDryRunTally(campaign.waves.length, others);
  const planFor = createPlanning(current, new Set(campaign.releases));
  const query = {
    ...membersOf({ ...campaign, percentage: 100 }),
    by: ["inventory", "channel"] as const,
    shares: [{ salt: campaign.campaign_id, bounds: waveBounds(campaign) }],
    flags: others.map(({ members }) => members),
  };
  await eachGroup(db, query, (group) => {
    const [wave = 0] = group.reached;
    if (wave >= campaign.waves.length) tally.matchedOnly(group);
    else tally.member(group, wave, outcomeOf(group, planFor, usable));
  });
  const result = tally.result();
  return { ...result, releases: brought, warnings: warningsOf(campaign, result.waves) };
}

/** Where the share of each wave ends; the last one at that of the whole campaign. */
function waveBounds({ percentage, waves }: DryRunCampaign): number[] {
  let end = 0;
  return waves.map(({ share }, index) => {
    end += share;
    return (percentage / 100) * (index === waves.length - 1 ? 1 : end / 100);
  });
}

type Planning = (inventory: Inventory, channel: Group["channel"]) => Plan;

function outcomeOf(
  { inventory, channel }: Group,
  planFor: Planning,
  usable: readonly BroughtRelease[],
): DryRunOutcome {
  if (inventory === null) return { kind: "without_vci" };
  const made = planFor(inventory, channel);
  if (made.outdated.length > 0) return { kind: "planned", plan: made };
  if (made.blocked.length > 0) return { kind: "blocked", plan: made };
  const concerned = broughtTo(inventory.ecus, usable) !== "nothing";
  return { kind: concerned ? "up_to_date" : "not_concerned" };
}

function createPlanning({ byType }: Releases, only: ReadonlySet<string>): Planning {
  const known = boundedCache<string, Plan>(MAX_PLANS);
  return ({ inventory_id, ecus }, channel) => {
    const key = `${inventory_id} ${channel}`;
    const before = known.get(key);
    if (before) return before;
    const types = new Set(ecus.map(({ ecu_type }) => ecu_type));
    const catalogue = [...types].flatMap((type) => byType.get(type) ?? []);
    const made = plan(ecus, catalogue, channel, { only });
    known.set(key, made);
    return made;
  };
}

/** Those that are scheduled, run, are paused or finish; the newest ones where there are many. */
async function othersFor(
  db: Db,
  { campaign_id }: DryRunCampaign,
  { byId }: Releases,
  types: ReadonlySet<string>,
): Promise<OtherCampaign[]> {
  const campaigns = await campaignsChangedSince(db, new Date(0));
  return campaigns
    .filter((other) => other.campaign_id !== campaign_id)
    .sort((a, b) => (a.campaign_id < b.campaign_id ? 1 : -1))
    .flatMap((campaign) => {
      const theirs = new Set(campaign.releases.flatMap((id) => byId.get(id)?.ecu_type ?? []));
      const ecu_types = [...theirs.intersection(types)].sort();
      return ecu_types.length === 0 || !isReadable(campaign)
        ? []
        : [{ campaign, ecu_types, members: membersOf(campaign) }];
    })
    .slice(0, MAX_CONFLICTS);
}

/** It was read when it was written; the language may have changed since. */
function isReadable({ filter }: Campaign): boolean {
  try {
    if (filter !== null) parseFilter(filter);
    return true;
  } catch (error) {
    if (error instanceof FilterError) return false;
    throw error;
  }
}
