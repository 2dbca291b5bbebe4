import type { Db } from "#server/database/connection.ts";
import "#server/vehicles/table.ts";
import type { TargetVehicle } from "./vehicle.ts";

/** A vehicle with what decides what it is given; undefined when it is not registered. */
export async function targetVehicle(db: Db, vin: string): Promise<TargetVehicle | undefined> {
  const row = await db
    .selectFrom("vehicle")
    .leftJoin("inventory", "inventory.inventory_id", "vehicle.inventory_id")
    .select([
      "vehicle.vin",
      "vehicle.model",
      "vehicle.region",
      "vehicle.channel",
      "vehicle.tags",
      "vehicle.profile",
      "vehicle.time_zone",
      "vehicle.registered_at",
      "inventory.inventory_id",
      "inventory.ecus",
    ])
    .where("vehicle.vin", "=", vin)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { inventory_id, ecus, ...vehicle } = row;
  const inventory = inventory_id === null || ecus === null ? null : { inventory_id, ecus };
  return { ...vehicle, inventory };
}
