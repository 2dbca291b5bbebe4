import { saveInventory } from "#server/vehicles/inventory.ts";
import type { Db } from "#server/database/connection.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";

/** Stores vehicles as they are. */
export async function storeVehicles(db: Db, vehicles: readonly TargetVehicle[]): Promise<void> {
  await db
    .insertInto("vehicle")
    .values(
      vehicles.map(({ inventory: _, profile, tags, ...vehicle }) => ({
        ...vehicle,
        tags: [...tags],
        connection: profile === null ? null : JSON.stringify({ profile }),
      })),
    )
    .execute();
  await db.transaction().execute(async (tx) => {
    for (const { vin, inventory } of vehicles)
      if (inventory) await saveInventory(tx, vin, inventory);
  });
}
