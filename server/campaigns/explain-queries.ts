import { sql } from "kysely";
import type { Db } from "#server/database/connection.ts";
import type { OfferSource } from "#server/updates/offer.ts";
import type { Campaign, CampaignVehicle } from "./campaign.ts";

/** What the source of offers has to know of a vehicle. */
export async function offerState(
  db: Db,
  vin: string,
  { state }: Pick<OfferSource, "state">,
): Promise<unknown> {
  const row = await db
    .selectFrom("vehicle")
    .select(sql`(${state})`.as("state"))
    .where("vin", "=", vin)
    .executeTakeFirst();
  return row?.state;
}

/** The newest firmware with this version; archived ones, too. */
export async function firmwareIdOf(
  db: Db,
  ecuType: string,
  version: string,
): Promise<string | undefined> {
  const row = await db
    .selectFrom("firmware")
    .select("firmware_id")
    .where("ecu_type", "=", ecuType)
    .where("version", "=", version)
    .orderBy("firmware_id", "desc")
    .executeTakeFirst();
  return row?.firmware_id;
}

/** Campaigns that bring a firmware, newest first. */
export async function campaignsBringing(
  db: Db,
  firmwareId: string,
  limit: number,
): Promise<Campaign[]> {
  return db
    .selectFrom("campaign")
    .selectAll()
    .where(sql<boolean>`${firmwareId}::uuid = any (releases)`)
    .orderBy("campaign_id", "desc")
    .limit(limit)
    .execute();
}

/** What became of a vehicle in campaigns. */
export async function partsIn(
  db: Db,
  vin: string,
  campaignIds: readonly string[],
): Promise<Pick<CampaignVehicle, "campaign_id" | "status" | "attempts" | "reason">[]> {
  return db
    .selectFrom("campaign_vehicle")
    .select(["campaign_id", "status", "attempts", "reason"])
    .where("vin", "=", vin)
    .where(sql<boolean>`campaign_id = any (${campaignIds}::uuid[])`)
    .execute();
}

export async function updateUnderWay(db: Db, vin: string) {
  return db
    .selectFrom("vehicle_update")
    .select(["update_id", "status", "campaign_id", "targets", "deferral"])
    .where("vin", "=", vin)
    .where("completed_at", "is", null)
    .executeTakeFirst();
}
