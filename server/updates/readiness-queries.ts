import { sql } from "kysely";
import type { Tx } from "#server/database/connection.ts";
import "#server/firmware/table.ts";
import "#server/packages/table.ts";
import "./table.ts";

/** Nothing keeps the vehicle any more; it is heard of. */
export async function clearDeferral(tx: Tx, updateId: string): Promise<void> {
  await tx
    .updateTable("vehicle_update")
    .set({ deferral: null, last_report_at: sql<Date>`now()` })
    .where("update_id", "=", updateId)
    .execute();
}

/** In bytes; 0 for a package that is gone. */
export async function packageSize(tx: Tx, packageId: string): Promise<number> {
  const row = await tx
    .selectFrom("package")
    .select("size")
    .where("package_id", "=", packageId)
    .executeTakeFirst();
  return row?.size ?? 0;
}

/** Type and version of those that vehicles may no longer have. */
export async function withdrawnTargets(tx: Tx, firmwareIds: readonly string[]): Promise<string[]> {
  const rows = await tx
    .selectFrom("firmware")
    .select(["ecu_type", "version"])
    .where("firmware_id", "in", [...new Set(firmwareIds)])
    .where("status", "<>", "active")
    .execute();
  return rows.map(({ ecu_type, version }) => `${ecu_type} ${version} is archived`);
}
