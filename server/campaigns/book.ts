import type { Db } from "#server/database/connection.ts";
import { follow } from "#server/database/follow.ts";
import type { Log } from "#server/runtime/log.ts";
import { parseFilter, type Filter } from "#server/targeting/filter.ts";
import { activeStates, type Campaign } from "./campaign.ts";
import { campaignsChangedSince } from "./queries.ts";

/** A campaign with what is read from it once. */
export interface BookedCampaign {
  campaign: Campaign;
  /** null: every vehicle; "unreadable": none. */
  filter: Filter | null | "unreadable";
  /** null: every vehicle. */
  vins: ReadonlySet<string> | null;
}

/** Campaigns that are scheduled, running, paused or finishing, in memory. */
export interface CampaignBook {
  /** Those that run, are paused or finish, in the order in which they go: critical ones, then by start. */
  active(): readonly BookedCampaign[];
  /** Takes up what has changed in the database. */
  refresh(): Promise<void>;
  stop(): void;
}

/**
 * Reads the campaigns, then follows them.
 * @param deps.everyMs how often another gateway's changes are looked for; undefined where there is
 *   none
 * @throws the database's error when the first reading fails
 */
export async function openCampaignBook(deps: {
  db: Db;
  everyMs: number | undefined;
  log: Log;
}): Promise<CampaignBook> {
  const { db, everyMs, log } = deps;
  const booked = new Map<string, BookedCampaign>();
  let active: readonly BookedCampaign[] = [];
  const followed = await follow({
    what: "the campaigns",
    changedSince: (since) => campaignsChangedSince(db, since),
    apply(campaigns) {
      for (const campaign of campaigns) {
        const { campaign_id } = campaign;
        const before = booked.get(campaign_id);
        // Rows come again, and an older reading may come later.
        if (before && before.campaign.changed_at > campaign.changed_at) continue;
        if (isOver(campaign)) booked.delete(campaign_id);
        else booked.set(campaign_id, book(campaign, log));
      }
      active = [...booked.values()].filter(isActive).sort(inOrder);
    },
    everyMs,
    log,
  });
  return {
    active: () => active,
    refresh: () => followed.refresh(),
    stop: () => followed.stop(),
  };
}

/** @returns the campaign with its filter read */
export function book(campaign: Campaign, log: Log): BookedCampaign {
  const { vins } = campaign;
  return {
    campaign,
    filter: readFilter(campaign, log),
    vins: vins === null ? null : new Set(vins),
  };
}

/** It was read when it was written; a language that has changed since must not stop the gateway. */
function readFilter({ campaign_id, filter }: Campaign, log: Log): BookedCampaign["filter"] {
  if (filter === null) return null;
  try {
    return parseFilter(filter);
  } catch (error) {
    log.error(
      { err: error, campaign_id },
      "The filter of a campaign can't be read: it is for no vehicle",
    );
    return "unreadable";
  }
}

function isOver({ state }: Campaign): boolean {
  return !["scheduled", "running", "paused", "finishing"].includes(state);
}

/** One that was paused before its start keeps nothing from others. */
function isActive({ campaign: { state, started_at } }: BookedCampaign): boolean {
  return started_at !== null && (activeStates as readonly string[]).includes(state);
}

function inOrder({ campaign: a }: BookedCampaign, { campaign: b }: BookedCampaign): number {
  return (
    Number(b.critical) - Number(a.critical) ||
    (a.started_at?.getTime() ?? Infinity) - (b.started_at?.getTime() ?? Infinity) ||
    (a.campaign_id < b.campaign_id ? -1 : 1)
  );
}
