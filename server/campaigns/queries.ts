import { sql, type Insertable, type Updateable } from "kysely";
import {
  campaignStates,
  type CampaignQuery,
  type CampaignReason,
  type CampaignVehicleStatus,
} from "#protocol/api/campaign.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { activeStates, type Campaign, type CampaignVehicle } from "./campaign.ts";
import type { CampaignTable } from "./table.ts";

/** The database's clock as it is, not as it was when the transaction began. */
const clock = sql<Date>`clock_timestamp()`;

export async function insertCampaign(
  tx: Tx,
  campaign: Insertable<CampaignTable>,
): Promise<Campaign> {
  return tx.insertInto("campaign").values(campaign).returningAll().executeTakeFirstOrThrow();
}

export async function campaignById(db: Db, campaignId: string): Promise<Campaign | undefined> {
  return db
    .selectFrom("campaign")
    .selectAll()
    .where("campaign_id", "=", campaignId)
    .executeTakeFirst();
}

/** Whether a campaign goes on, and with what; without what may be long. */
export async function courseOf(
  db: Db,
  campaignId: string,
): Promise<Pick<Campaign, "state" | "releases"> | undefined> {
  return db
    .selectFrom("campaign")
    .select(["state", "releases"])
    .where("campaign_id", "=", campaignId)
    .executeTakeFirst();
}

/** A campaign that nobody else changes until the transaction ends; vehicles may join meanwhile. */
export async function lockCampaign(tx: Tx, campaignId: string): Promise<Campaign | undefined> {
  return tx
    .selectFrom("campaign")
    .selectAll()
    .where("campaign_id", "=", campaignId)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Writes a change of content or state as a new revision. */
export async function changeCampaign(
  tx: Tx,
  campaignId: string,
  change: Omit<Updateable<CampaignTable>, "revision" | "changed_at">,
): Promise<Campaign> {
  return tx
    .updateTable("campaign")
    .set({ ...change, revision: sql<number>`revision + 1`, changed_at: clock })
    .where("campaign_id", "=", campaignId)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Notes why a campaign stays in its state; no new revision of it. */
export async function noteReason(
  tx: Tx,
  campaignId: string,
  reason: CampaignReason,
): Promise<Campaign> {
  return tx
    .updateTable("campaign")
    .set({ state_reason: JSON.stringify(reason), changed_at: clock })
    .where("campaign_id", "=", campaignId)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** How many campaigns have started and are not over. */
export async function countActive(db: Db): Promise<number> {
  const { count } = await db
    .selectFrom("campaign")
    .select((eb) => eb.cast<number>(eb.fn.countAll(), "integer").as("count"))
    .where("state", "in", activeStates)
    .where("started_at", "is not", null)
    .executeTakeFirstOrThrow();
  return count;
}

export async function deleteCampaign(tx: Tx, campaignId: string): Promise<void> {
  await tx.deleteFrom("campaign").where("campaign_id", "=", campaignId).execute();
}

/** States that a gateway must know of. */
const followed = campaignStates.filter((state) =>
  ["scheduled", "running", "paused", "finishing"].includes(state),
);

/** Campaigns that have changed since; from the beginning on, those that are not over. */
export async function campaignsChangedSince(db: Db, since: Date): Promise<Campaign[]> {
  const query = db.selectFrom("campaign").selectAll();
  return since.getTime() === 0
    ? query.where("state", "in", followed).execute()
    : query.where("changed_at", ">", since).execute();
}

export interface CampaignFilter extends CampaignQuery {
  limit: number;
  cursor?: string | undefined;
}

const summaryColumns = [
  "campaign_id",
  "revision",
  "state",
  "state_since",
  "state_reason",
  "name",
  "releases",
  "filter",
  "percentage",
  "waves",
  "waves_opened",
  "critical",
  "starts_at",
  "ends_at",
  "dynamic",
  "created_by",
  "created_at",
  "submitted_by",
  "approved_by",
  "started_at",
  "ended_at",
] as const;

export type ListedCampaign = Pick<Campaign, (typeof summaryColumns)[number]> & {
  /** null: no list of vehicles. */
  vin_count: number | null;
};

/** Campaigns without their lists of vehicles, newest first, from behind `cursor` on. */
export async function listCampaigns(db: Db, filter: CampaignFilter): Promise<ListedCampaign[]> {
  let query = db
    .selectFrom("campaign")
    .select(summaryColumns)
    .select(sql<number | null>`cardinality(vins)`.as("vin_count"))
    .orderBy("campaign_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("campaign_id", "<", filter.cursor);
  if (filter.name !== undefined) {
    query = query.where(sql<boolean>`lower(name) = lower(${filter.name})`);
  }
  if (filter.state !== undefined) query = query.where("state", "=", filter.state);
  if (filter.release !== undefined) {
    query = query.where(sql<boolean>`${filter.release}::uuid = any (releases)`);
  }
  return query.execute();
}

/** Vehicles that take part, by VIN, from behind `cursor` on. */
export async function listCampaignVehicles(
  db: Db,
  campaignId: string,
  filter: {
    limit: number;
    cursor?: string | undefined;
    status?: CampaignVehicleStatus | undefined;
  },
): Promise<CampaignVehicle[]> {
  let query = db
    .selectFrom("campaign_vehicle")
    .selectAll()
    .where("campaign_id", "=", campaignId)
    .orderBy("vin")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("vin", ">", filter.cursor);
  if (filter.status !== undefined) query = query.where("status", "=", filter.status);
  return query.execute();
}

/** A campaign for which the time has come. */
export interface DueCampaign {
  campaign_id: string;
  due: "start" | "end" | "drain";
  state_reason: CampaignReason | null;
}

/**
 * Campaigns whose end has come, those that finish with nobody under way, and behind them those whose
 * start has come, in the order in which they are to start.
 */
export async function dueCampaigns(db: Db, now: Date): Promise<DueCampaign[]> {
  const { rows } = await sql<DueCampaign>`
    select campaign_id, state_reason,
      case
        when state = 'finishing' then 'drain'
        when ends_at <= ${now} then 'end'
        else 'start'
      end as due
    from campaign
    where (state in ('scheduled', 'running', 'paused') and ends_at <= ${now})
      or (state = 'scheduled' and starts_at <= ${now})
      or (state = 'finishing' and not exists (
        select from campaign_vehicle underway
        where underway.campaign_id = campaign.campaign_id
          and underway.status in ('updating', 'soaking', 'reverting')
      ))
    order by (state = 'scheduled' and coalesce(ends_at > ${now}, true)), critical desc, starts_at,
      campaign_id
    limit 1000
  `.execute(db);
  return rows;
}

/** Is a vehicle of this campaign under way? */
export async function isUnderWay(db: Db, campaignId: string): Promise<boolean> {
  const row = await db
    .selectFrom("campaign_vehicle")
    .select("vin")
    .where("campaign_id", "=", campaignId)
    .where("status", "in", ["updating", "soaking", "reverting"])
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Campaigns that bring firmware which can't be had any more, or firmware that requires a version
 * which the catalogue has lost since the campaign started.
 * @param campaignId only this one
 */
export async function campaignsWithoutReleases(
  db: Db,
  campaignId?: string,
): Promise<{ campaign_id: string; firmware_id: string; requires: string | null }[]> {
  const { rows } = await sql<{
    campaign_id: string;
    firmware_id: string;
    requires: string | null;
  }>`
    with brought as (
      select campaign.campaign_id, campaign.started_at, firmware.*
      from campaign join firmware on firmware.firmware_id = any (campaign.releases)
      where state in ('scheduled', 'running')
        ${campaignId === undefined ? sql`` : sql`and campaign_id = ${campaignId}`}
    )
    select campaign_id, firmware_id, null as requires from brought
    where status = 'archived' or published_at is null
    union all
    select campaign_id, firmware_id, requirement ->> 'ecu_type' || ' ' || (requirement ->> 'min_version')
    from brought, jsonb_array_elements(requires) requirement
    where exists (
      select from firmware lost
      where lost.ecu_type = requirement ->> 'ecu_type'
        and lost.version_key >= semver_key(requirement ->> 'min_version') collate "C"
        and lost.archived_at > brought.started_at
    ) and not exists (
      select from firmware kept
      where kept.ecu_type = requirement ->> 'ecu_type'
        and kept.version_key >= semver_key(requirement ->> 'min_version') collate "C"
        and kept.status = 'active' and kept.published_at is not null
    )
    order by campaign_id
    limit 1000
  `.execute(db);
  return rows;
}
