import type { Db, Tx } from "#server/database/connection.ts";
import type { Package } from "./package.ts";
import "./table.ts";

const columns = ["package_id", "manifest", "signatures", "size", "sha256", "zones"] as const;

export async function packageById(db: Db, packageId: string): Promise<Package | undefined> {
  return db
    .selectFrom("package")
    .select(columns)
    .where("package_id", "=", packageId)
    .executeTakeFirst();
}

/** Stores a package unless it is there already; the one that is stored first stays. */
export async function insertPackage(tx: Tx, { zones, ...rest }: Package): Promise<void> {
  await tx
    .insertInto("package")
    .values({ ...rest, zones: JSON.stringify(zones) })
    .onConflict((conflict) => conflict.column("package_id").doNothing())
    .execute();
}

/** As {@link packageById}; nobody else changes it until the transaction ends. */
export async function lockPackage(tx: Tx, packageId: string): Promise<Package> {
  return tx
    .selectFrom("package")
    .select(columns)
    .where("package_id", "=", packageId)
    .forUpdate()
    .executeTakeFirstOrThrow();
}

/** Puts the package that others have signed in the place of the same one. */
export async function replacePackage(
  tx: Tx,
  { package_id, signatures, size, sha256, zones }: Package,
): Promise<void> {
  await tx
    .updateTable("package")
    .set({ signatures, size, sha256, zones: JSON.stringify(zones) })
    .where("package_id", "=", package_id)
    .execute();
}

/** Lets a vehicle download a package until `expiresAt`. */
export async function assignPackage(
  tx: Tx,
  assignment: { vin: string; package_id: string; expires_at: Date },
): Promise<void> {
  await tx
    .insertInto("package_assignment")
    .values(assignment)
    .onConflict((conflict) =>
      conflict.columns(["vin", "package_id"]).doUpdateSet({ expires_at: assignment.expires_at }),
    )
    .execute();
}

/** Until when a vehicle may download a package; undefined when it was never assigned. */
export async function assignedUntil(
  db: Db,
  vin: string,
  packageId: string,
): Promise<Date | undefined> {
  const row = await db
    .selectFrom("package_assignment")
    .select("expires_at")
    .where("vin", "=", vin)
    .where("package_id", "=", packageId)
    .executeTakeFirst();
  return row?.expires_at;
}
