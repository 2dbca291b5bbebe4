import { sql } from "kysely";
import type { CampaignVehicleStatus } from "#protocol/api/campaign.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { share } from "#server/targeting/membership.ts";
import type { Target } from "#server/updates/update.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import type { BroughtRelease } from "./brought.ts";
import { activeStates, type Campaign, type CampaignVehicle } from "./campaign.ts";
import { counted, difference, type GroupCounts } from "./count.ts";
import { ROLLBACK_FAILED, type Participation } from "./participation.ts";

/** A campaign as far as its vehicles' success goes. */
const rules = ["releases", "soak_min", "new_dtcs"] as const;

/** A vehicle's place in a campaign, locked until the transaction ends. */
export type LockedVehicle = CampaignVehicle & Pick<Campaign, (typeof rules)[number]>;

export async function lockCampaignVehicle(
  tx: Tx,
  campaignId: string,
  vin: string,
): Promise<LockedVehicle | undefined> {
  return lockedVehicles(tx)
    .where("campaign.campaign_id", "=", campaignId)
    .where("vin", "=", vin)
    .executeTakeFirst();
}

/** What a vehicle's wave follows from, for one that has no place yet. */
export async function sharesOf(
  tx: Tx,
  campaignId: string,
): Promise<Pick<Campaign, "percentage" | "waves"> | undefined> {
  return tx
    .selectFrom("campaign")
    .select(["percentage", "waves"])
    .where("campaign_id", "=", campaignId)
    .executeTakeFirst();
}

/**
 * A vehicle's places in the campaigns that a new VCI of it means something to: also when they are
 * over where it was told to go back.
 */
export async function lockConcerned(tx: Tx, vin: string): Promise<LockedVehicle[]> {
  return lockedVehicles(tx)
    .where("vin", "=", vin)
    .where("status", "in", ["waiting", "soaking", "succeeded", "failed", "reverting"])
    .where((eb) =>
      eb.or([
        eb("campaign.state", "in", activeStates),
        eb("status", "=", "reverting"),
        eb(sql`reason ->> 'code'`, "=", ROLLBACK_FAILED),
      ]),
    )
    .orderBy("campaign.campaign_id")
    .execute();
}

function lockedVehicles(tx: Tx) {
  return tx
    .selectFrom("campaign_vehicle")
    .innerJoin("campaign", "campaign.campaign_id", "campaign_vehicle.campaign_id")
    .selectAll("campaign_vehicle")
    .select(rules)
    .forNoKeyUpdate("campaign_vehicle");
}

/** Which of a campaign's vehicles a batch is about. */
export interface Standers {
  statuses: readonly CampaignVehicleStatus[];
  /** Those that have ended later are left as they are. */
  until: Date;
}

/** Some of them, but for those that are being worked on right now. */
export async function lockSome(
  tx: Tx,
  campaignId: string,
  which: Standers,
  limit: number,
): Promise<CampaignVehicle[]> {
  return standing(tx, campaignId, which)
    .selectAll()
    .limit(limit)
    .forNoKeyUpdate()
    .skipLocked()
    .execute();
}

/** Is there one left? */
export async function isOneLeft(db: Db, campaignId: string, which: Standers): Promise<boolean> {
  const row = await standing(db, campaignId, which).select("vin").limit(1).executeTakeFirst();
  return row !== undefined;
}

function standing(db: Db, campaignId: string, { statuses, until }: Standers) {
  return db
    .selectFrom("campaign_vehicle")
    .where("campaign_id", "=", campaignId)
    .where("status", "in", statuses)
    .where((eb) => eb.or([eb("finished_at", "is", null), eb("finished_at", "<=", until)]));
}

/** Vehicles of one campaign that have soaked for long enough, those that are due longest first. */
export async function lockSoaked(
  tx: Tx,
  campaignId: string,
  now: Date,
  limit: number,
): Promise<CampaignVehicle[]> {
  return tx
    .selectFrom("campaign_vehicle")
    .selectAll()
    .where("soak_until", "<=", now)
    .where("campaign_id", "=", campaignId)
    .orderBy("soak_until")
    .limit(limit)
    .forNoKeyUpdate()
    .skipLocked()
    .execute();
}

/** Campaigns but for some, with vehicles that have soaked: of the `limit` that are due longest. */
export async function campaignsWithSoaked(
  db: Db,
  now: Date,
  limit: number,
  except: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ campaign_id: string }>`
    select distinct campaign_id from (
      select campaign_id from campaign_vehicle
      where soak_until <= ${now} and campaign_id <> all (${except}::uuid[])
      order by soak_until limit ${limit}
    ) due order by campaign_id
  `.execute(db);
  return rows.map(({ campaign_id }) => campaign_id);
}

/** What became of a vehicle in a campaign. */
export interface Standing {
  vin: string;
  wave: number;
  /** undefined: it joins. */
  before: Participation | undefined;
  after: Participation;
  /** What tells it to go back; by default as before. */
  command_id?: string;
}

/**
 * Writes how vehicles of a campaign stand now, and counts it: one statement, however many vehicles
 * the campaign has. Counters are locked in one order, the whole before its groups.
 */
export async function saveStandings(
  tx: Tx,
  campaignId: string,
  standings: readonly Standing[],
): Promise<void> {
  if (standings.length === 0) return;
  const rows = standings.map(({ vin, wave, after, command_id = null }) => {
    const { status, update_id, attempts, reason, soak_until, finished_at, groups, dtcs } = after;
    const standing = { status, update_id, attempts, reason, soak_until, finished_at, groups, dtcs };
    return { vin, wave, ...standing, command_id };
  });
  const add = sql.join(
    counted.map(
      (each) => sql`${sql.ref(each)} = counter.${sql.ref(each)} + excluded.${sql.ref(each)}`,
    ),
  );
  const columns = sql.join(counted.map((each) => sql.ref(each)));
  const types = sql.join(counted.map((each) => sql`${sql.ref(each)} integer`));
  await sql`
    with saved as (
      insert into campaign_vehicle as vehicle (
        campaign_id, vin, wave, status, update_id, attempts, reason, soak_until, finished_at, groups,
        dtcs, command_id
      )
      select ${campaignId}, vin, wave, status, update_id, attempts, reason, soak_until, finished_at,
        groups, dtcs, command_id
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as row (
        vin text, wave smallint, status text, update_id uuid, attempts integer, reason jsonb,
        soak_until timestamptz, finished_at timestamptz, groups jsonb, dtcs jsonb, command_id uuid
      )
      on conflict (campaign_id, vin) do update set
        status = excluded.status, update_id = excluded.update_id, attempts = excluded.attempts,
        reason = excluded.reason, soak_until = excluded.soak_until,
        finished_at = excluded.finished_at, groups = excluded.groups, dtcs = excluded.dtcs,
        command_id = coalesce(excluded.command_id, vehicle.command_id), changed_at = now()
    )
    insert into campaign_counter as counter (
      campaign_id, wave, ecu_type, hardware_version, slot, ${columns}
    )
    select ${campaignId}, wave, ecu_type, hardware_version, slot, ${columns}
    from jsonb_to_recordset(${JSON.stringify(countersOf(standings))}::jsonb) as row (
      wave smallint, ecu_type text, hardware_version text, slot smallint, ${types}
    )
    order by ecu_type, hardware_version, wave, slot
    on conflict (campaign_id, wave, ecu_type, hardware_version, slot) do update set ${add}
  `.execute(tx);
}

/** How many rows one number is spread over. */
const SLOTS = 16;

/** By how much counters change, each once. */
function countersOf(standings: readonly Standing[]) {
  const counters = new Map<string, Omit<GroupCounts, "counts"> & Record<string, unknown>>();
  for (const { vin, wave, before, after } of standings) {
    const slot = Math.floor(share("slot", vin) * SLOTS);
    for (const { ecu_type, hardware_version, counts } of difference(before, after)) {
      const key = `${wave}\n${ecu_type}\n${hardware_version}\n${slot}`;
      const sum = counters.get(key) ?? { wave, ecu_type, hardware_version, slot };
      for (const each of counted) sum[each] = ((sum[each] as number) ?? 0) + counts[each];
      counters.set(key, sum);
    }
  }
  return [...counters.values()];
}

/** What a campaign's releases are, whether they can still be had or not. */
export async function releasesBrought(
  db: Db,
  releases: readonly string[],
): Promise<BroughtRelease[]> {
  return db
    .selectFrom("firmware")
    .select(["ecu_type", "version", "hardware_versions"])
    .where("firmware_id", "in", releases)
    .execute();
}

/** What a vehicle consists of, by its newest VCI. */
export async function ecusOf(db: Db, vin: string): Promise<readonly InventoryEcu[]> {
  const row = await db
    .selectFrom("vehicle")
    .innerJoin("inventory", "inventory.inventory_id", "vehicle.inventory_id")
    .select("ecus")
    .where("vin", "=", vin)
    .executeTakeFirst();
  return row?.ecus ?? [];
}

/** The same of several; those that have sent no VCI are left out. */
export async function ecusByVin(
  db: Db,
  vins: readonly string[],
): Promise<Map<string, readonly InventoryEcu[]>> {
  if (vins.length === 0) return new Map();
  const rows = await db
    .selectFrom("vehicle")
    .innerJoin("inventory", "inventory.inventory_id", "vehicle.inventory_id")
    .select(["vin", "ecus"])
    .where(sql<boolean>`vin = any (${vins}::text[])`)
    .execute();
  return new Map(rows.map(({ vin, ecus }) => [vin, ecus]));
}

/** What a campaign's updates had for the ECUs of a vehicle. */
export async function targetsInCampaign(
  db: Db,
  campaignId: string,
  vin: string,
): Promise<Target[]> {
  const rows = await db
    .selectFrom("vehicle_update")
    .select("targets")
    .where("vin", "=", vin)
    .where("campaign_id", "=", campaignId)
    .orderBy("update_id", "desc")
    .limit(100)
    .execute();
  return rows.flatMap(({ targets }) => targets);
}
