import { sql } from "kysely";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Package, PackageFile } from "./package.ts";
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

/**
 * Puts the package that others have signed in the place of the same one. As it was it stays for
 * those that it is assigned to: they may be in the middle of downloading it.
 */
export async function supersedePackage(
  tx: Tx,
  { package_id, signatures, size, sha256, zones }: Package,
): Promise<void> {
  await sql`
    insert into superseded_package (package_id, sha256, signatures, size, expires_at)
    select package_id, sha256, signatures, size, coalesce(
      (
        select max(expires_at) from package_assignment
        where package_assignment.package_id = package.package_id
          and package_assignment.sha256 = package.sha256
      ),
      now()
    )
    from package where package_id = ${package_id}
  `.execute(tx);
  await tx
    .updateTable("package")
    .set({ signatures, size, sha256, zones: JSON.stringify(zones) })
    .where("package_id", "=", package_id)
    .execute();
}

/** Lets a vehicle download a package, as it is signed now, until `expires_at`. */
export async function assignPackage(
  tx: Tx,
  assignment: { vin: string; package_id: string; sha256: string; expires_at: Date },
): Promise<void> {
  const { sha256, expires_at } = assignment;
  await tx
    .insertInto("package_assignment")
    .values(assignment)
    .onConflict((conflict) =>
      conflict.columns(["vin", "package_id"]).doUpdateSet({ sha256, expires_at }),
    )
    .execute();
}

/** What one vehicle was assigned of a package. */
export interface AssignedPackage {
  /** Until when it may be downloaded; null when it was never assigned. */
  expires_at: Date | null;
  /** As it was signed when it was assigned; null when it is no longer kept. */
  file: PackageFile | null;
}

/** @returns undefined when there is no such package */
export async function assignedPackage(
  db: Db,
  vin: string,
  packageId: string,
): Promise<AssignedPackage | undefined> {
  const row = await db
    .selectFrom("package")
    .leftJoin("package_assignment as assigned", (join) =>
      join.onRef("assigned.package_id", "=", "package.package_id").on("assigned.vin", "=", vin),
    )
    .leftJoin("superseded_package as before", (join) =>
      join
        .onRef("before.package_id", "=", "assigned.package_id")
        .onRef("before.sha256", "=", "assigned.sha256"),
    )
    .select(["package.manifest", "package.sha256", "package.signatures", "package.size"])
    .select(["assigned.expires_at", "assigned.sha256 as assigned_sha256"])
    .select(["before.signatures as before_signatures", "before.size as before_size"])
    .where("package.package_id", "=", packageId)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { expires_at, manifest, assigned_sha256: sha256 } = row;
  const [signatures, size] =
    sha256 === row.sha256 ? [row.signatures, row.size] : [row.before_signatures, row.before_size];
  const isKept = sha256 !== null && signatures !== null && size !== null;
  const file = isKept ? { package_id: packageId, manifest, signatures, size, sha256 } : null;
  return { expires_at, file };
}
