import { createHash } from "node:crypto";
import { sql } from "kysely";
import { jcs } from "#protocol/bytes/jcs.ts";
import type { Db, Tx } from "#server/database/connection.ts";

/** An ECU as planning sees it. */
export interface InventoryEcu {
  ecu_id: string;
  zone_id: string;
  ecu_type: string;
  hardware_version: string;
  software_version: string;
}

/** What a vehicle consists of; vehicles that are alike share one. */
export interface Inventory {
  inventory_id: string;
  /** In the order of their ids. */
  ecus: readonly InventoryEcu[];
}

/** The inventory of ECUs as a vehicle reports them, in whichever order. */
export function inventoryOf(ecus: readonly InventoryEcu[]): Inventory {
  const alike = ecus
    .map(({ ecu_id, zone_id, ecu_type, hardware_version, software_version }) => ({
      ecu_id,
      zone_id,
      ecu_type,
      hardware_version,
      software_version,
    }))
    .sort((a, b) => (a.ecu_id < b.ecu_id ? -1 : 1));
  return { inventory_id: createHash("sha256").update(jcs(alike)).digest("hex"), ecus: alike };
}

/** Notes what a vehicle consists of. */
export async function saveInventory(
  tx: Tx,
  vin: string,
  { inventory_id, ecus }: Inventory,
): Promise<void> {
  await sql`
    with kept as (
      insert into inventory (inventory_id, ecus) values (${inventory_id}, ${JSON.stringify(ecus)})
      on conflict do nothing
    )
    update vehicle set inventory_id = ${inventory_id}
    where vin = ${vin} and inventory_id is distinct from ${inventory_id}
  `.execute(tx);
}

export async function inventoriesById(db: Db, ids: readonly string[]): Promise<Inventory[]> {
  if (ids.length === 0) return [];
  return db
    .selectFrom("inventory")
    .select(["inventory_id", "ecus"])
    .where(sql<boolean>`inventory_id = any (${ids}::text[])`)
    .execute();
}
