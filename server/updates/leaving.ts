import { cancelUpdate, type UpdateDeps } from "./service.ts";

/**
 * Ends the update of a vehicle that is to be removed.
 * @throws ProblemError UPDATE_TRANSITION_REFUSED once flash is being written
 */
export async function endBeforeLeaving(deps: UpdateDeps, vin: string): Promise<void> {
  const open = await deps.db
    .selectFrom("vehicle_update")
    .select("update_id")
    .where("vin", "=", vin)
    .where("completed_at", "is", null)
    .executeTakeFirst();
  if (open) await cancelUpdate(deps, vin, open.update_id);
}
