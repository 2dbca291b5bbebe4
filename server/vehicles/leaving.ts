import { sql } from "kysely";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import { endMinimumProfile } from "./minimum-profiles.ts";
import { lockVehicle } from "./queries.ts";

/**
 * Forgets a vehicle and what it has told of itself. What was done to it stays: its updates, its
 * part in campaigns, the audit log.
 * @throws ProblemError VEHICLE_UNKNOWN, UPDATE_TRANSITION_REFUSED
 */
export async function removeVehicle(db: Db, vin: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    if (!(await lockVehicle(tx, vin))) throw new ProblemError("VEHICLE_UNKNOWN", vin);
    const { rows } = await sql<{ status: string }>`
      select status from vehicle_update where vin = ${vin} and completed_at is null
    `.execute(tx);
    const [open] = rows;
    if (open !== undefined)
      throw new ProblemError("UPDATE_TRANSITION_REFUSED", `it is ${open.status}`);
    await endMinimumProfile(tx, vin);
    await tx.deleteFrom("vehicle").where("vin", "=", vin).execute();
    await emit(tx, { kind: "vehicle.removed", vin });
  });
}
