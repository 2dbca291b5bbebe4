import { sql } from "kysely";
import type { Db, Tx } from "#server/database/connection.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import type { Campaign, CampaignVehicle } from "./campaign.ts";

/** Campaigns with vehicles that are to have another try, or to go back. */
export async function campaignsWithWork(
  db: Db,
): Promise<Pick<Campaign, "campaign_id" | "retry_at" | "revert_at">[]> {
  return db
    .selectFrom("campaign")
    .select(["campaign_id", "retry_at", "revert_at"])
    .where((eb) => eb.or([eb("retry_at", "is not", null), eb("revert_at", "is not", null)]))
    .orderBy("campaign_id")
    .limit(1000)
    .execute();
}

/** Every vehicle that it was for has had its turn. */
export async function endWork(tx: Tx, campaignId: string, work: "retry" | "revert"): Promise<void> {
  await tx
    .updateTable("campaign")
    .set(work === "retry" ? { retry_at: null } : { revert_at: null })
    .where("campaign_id", "=", campaignId)
    .execute();
}

/** Notes up to when the pace of going back is used up. */
export async function notePace(tx: Tx, campaignId: string, usedUpTo: Date): Promise<void> {
  await tx
    .updateTable("campaign")
    .set({ reverted_to: usedUpTo })
    .where("campaign_id", "=", campaignId)
    .execute();
}

/** Which of these vehicles are registered; they are, until the transaction ends. */
export async function stillThere(tx: Tx, vins: readonly string[]): Promise<Set<string>> {
  const rows = await tx
    .selectFrom("vehicle")
    .select("vin")
    .where(sql<boolean>`vin = any (${vins}::text[])`)
    .orderBy("vin")
    .forKeyShare()
    .execute();
  return new Set(rows.map(({ vin }) => vin));
}

/** A vehicle that was told to go back, and what is known of that. */
export type Reverting = CampaignVehicle & {
  command_status: string | null;
  /** When it last moved. */
  command_at: Date | null;
  /** null: it has sent no VCI since it registered, or was removed. */
  ecus: readonly InventoryEcu[] | null;
};

/**
 * Some of the vehicles that were told to go back, those that were looked at least lately; they are
 * locked, and looked at last from now on.
 */
export async function lockReverting(
  tx: Tx,
  campaignId: string,
  limit: number,
): Promise<Reverting[]> {
  const { rows } = await sql<Reverting>`
    with looked as (
      update campaign_vehicle set changed_at = clock_timestamp()
      where campaign_id = ${campaignId} and vin = any (array(
        select vin from campaign_vehicle
        where campaign_id = ${campaignId} and status = 'reverting'
        order by changed_at limit ${limit}
        for no key update skip locked
      ))
      returning *
    )
    select looked.*, command.status as command_status, command.updated_at as command_at,
      inventory.ecus
    from looked
    left join vehicle on vehicle.vin = looked.vin
    left join inventory on inventory.inventory_id = vehicle.inventory_id
    left join command on command.command_id = looked.command_id
  `.execute(tx);
  return rows;
}

/** Campaigns that have told vehicles to go back and wait for them. */
export async function campaignsReverting(db: Db): Promise<string[]> {
  // One step through the index per campaign, not one per vehicle.
  const { rows } = await sql<{ campaign_id: string }>`
    with recursive each as (
      (select campaign_id from campaign_vehicle where status = 'reverting'
        order by campaign_id limit 1)
      union all
      select (
        select campaign_id from campaign_vehicle
        where status = 'reverting' and campaign_id > each.campaign_id
        order by campaign_id limit 1
      ) from each where each.campaign_id is not null
    )
    select campaign_id from each where campaign_id is not null limit 1000
  `.execute(db);
  return rows.map(({ campaign_id }) => campaign_id);
}
