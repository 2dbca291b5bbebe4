import { randomUUID, randomUUIDv7 } from "node:crypto";
import { sql, type Insertable } from "kysely";
import type { CampaignTable } from "#server/campaigns/table.ts";
import type { Db } from "#server/database/connection.ts";
import type { Target } from "#server/updates/update.ts";
import { inventoryOf, saveInventory, type InventoryEcu } from "#server/vehicles/inventory.ts";

/** What the campaigns of these tests bring. */
export interface Brought {
  firmware_id: string;
  ecu_type: string;
  version: string;
  hardware_versions: string[];
}

/** Puts firmware into the catalogue that only a campaign offers, without an image. */
export async function insertFirmware(
  db: Db,
  { ecu_type = "brake", version = "2.0.0" }: { ecu_type?: string; version?: string } = {},
): Promise<Brought> {
  const firmware = {
    firmware_id: randomUUID(),
    ecu_type,
    version,
    hardware_versions: ["HW-1.0"],
  };
  await db
    .insertInto("firmware")
    .values({
      ...firmware,
      channel: "stable",
      availability: "campaign",
      min_current_version: null,
      release_notes: null,
      size: 1,
      sha256: "",
      sha512: null,
      compressed_size: 1,
      compressed_sha256: "",
      created_by: "test",
      build_number: null,
      rxswin: null,
    })
    .execute();
  return firmware;
}

/** A campaign that runs, with its one wave open. */
export async function insertRunning(
  db: Db,
  releases: readonly Brought[],
  change: Partial<Insertable<CampaignTable>> = {},
): Promise<string> {
  const campaign_id = randomUUIDv7();
  const now = new Date();
  await db
    .insertInto("campaign")
    .values({
      campaign_id,
      state: "running",
      name: "Brake controller 2.0.0",
      description: null,
      releases: releases.map(({ firmware_id }) => firmware_id),
      filter: null,
      vins: null,
      percentage: 100,
      waves: JSON.stringify([{ share: 100 }]),
      waves_opened: [now],
      critical: false,
      starts_at: null,
      ends_at: null,
      dynamic: true,
      deadline_min: 30,
      soak_min: 0,
      new_dtcs: "ignore",
      min_profile: null,
      cloned_from: null,
      created_by: "anna",
      authors: ["anna"],
      started_at: now,
      ...change,
    })
    .execute();
  return campaign_id;
}

/** From now on the database refuses to change anything of these campaigns. */
export async function spoil(db: Db, campaignIds: readonly string[]): Promise<void> {
  const ids = campaignIds.map((id) => `'${id}'`).join(", ");
  await sql`
    create function spoiled() returns trigger language plpgsql as
      $$ begin raise exception 'spoiled'; end $$
  `.execute(db);
  for (const table of ["campaign", "campaign_counter"]) {
    await sql`
      create trigger spoiled before insert or update on ${sql.table(table)} for each row
      when (new.campaign_id in (${sql.raw(ids)})) execute function spoiled()
    `.execute(db);
  }
}

/** ECUs of a small vehicle: a brake and lights, at these versions. */
export function ecusAt(brake = "1.0.0", lights = "1.0.0"): InventoryEcu[] {
  const ecu = (ecu_id: string, ecu_type: string, software_version: string) => ({
    ecu_id,
    zone_id: "ZG-FRONT",
    ecu_type,
    hardware_version: "HW-1.0",
    software_version,
  });
  return [ecu("ECU_001", "brake", brake), ecu("ECU_003", "lights", lights)];
}

/** Registers vehicles. @returns their VINs */
export async function insertVehicles(db: Db, count: number): Promise<string[]> {
  const vins = Array.from({ length: count }, (_, index) => `VIN-${String(index).padStart(5, "0")}`);
  await db
    .insertInto("vehicle")
    .values(
      vins.map((vin) => ({ vin, model: null, region: null, vmg_version: null, min_profile: null })),
    )
    .execute();
  return vins;
}

/** The vehicle shows these ECUs. */
export async function showEcus(db: Db, vin: string, ecus: InventoryEcu[]): Promise<void> {
  await db.transaction().execute((tx) => saveInventory(tx, vin, inventoryOf(ecus)));
}

export function targetOf({ firmware_id, ecu_type, version }: Brought): Target {
  return {
    ecu_id: ecu_type === "brake" ? "ECU_001" : "ECU_003",
    zone_id: "ZG-FRONT",
    ecu_type,
    hardware_version: "HW-1.0",
    firmware_id,
    from_version: "1.0.0",
    to_version: version,
  };
}
