import { sql } from "kysely";
import type { Db } from "#server/database/connection.ts";
import { prepared } from "#server/database/prepared.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import type { Inventory } from "#server/vehicles/inventory.ts";
import type { OfferSource } from "./offer.ts";

type Row = CheckedIn["vehicle"] & Pick<CheckedIn, "state">;

/** A vehicle as it is looked at when it checks in; what it consists of is known by its id. */
export interface CheckedIn {
  vehicle: Omit<TargetVehicle, "inventory"> & { inventory_id: string | null };
  /** What the source of offers has asked for. */
  state: unknown;
}

/** All that a check-in needs of the database, in one query by the primary key. */
export async function checkedIn(
  db: Db,
  vin: string,
  { state }: Pick<OfferSource, "state">,
): Promise<CheckedIn | undefined> {
  const found = await prepared(sql<Row>`
    select vin, model, region, channel, tags, profile, time_zone, registered_at, inventory_id,
      (${state}) as state
    from vehicle where vin = ${vin}
  `).execute(db);
  const [row] = found.rows;
  if (row === undefined) return undefined;
  const { state: brought, ...vehicle } = row;
  return { vehicle, state: brought };
}

export async function inventoryById(db: Db, inventoryId: string): Promise<Inventory> {
  return db
    .selectFrom("inventory")
    .select(["inventory_id", "ecus"])
    .where("inventory_id", "=", inventoryId)
    .executeTakeFirstOrThrow();
}
