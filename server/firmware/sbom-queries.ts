import { sql } from "kysely";
import type { SbomSummary } from "#protocol/api/sbom.ts";
import type { Db } from "#server/database/connection.ts";
import type { Sbom } from "./sbom.ts";

const summaryColumns = [
  "firmware_id",
  "spec_version",
  "serial_number",
  "bom_version",
  "component_count",
  "size",
  "sha256",
  "created_at",
] as const;

/**
 * Keeps a document, in the place of the one that was there.
 * @returns undefined when there is no such firmware
 */
export async function storeSbom(
  db: Db,
  firmwareId: string,
  { document, components, ...sbom }: Sbom & { document: Buffer },
  operator: string,
): Promise<SbomSummary | undefined> {
  return db.transaction().execute(async (tx) => {
    // Held until the end: of two that come at once, the components are those of the document.
    const firmware = await tx
      .selectFrom("firmware")
      .select("firmware_id")
      .where("firmware_id", "=", firmwareId)
      .forUpdate()
      .executeTakeFirst();
    if (firmware === undefined) return undefined;
    await tx.deleteFrom("firmware_sbom").where("firmware_id", "=", firmwareId).execute();
    const stored = await tx
      .insertInto("firmware_sbom")
      .values({
        ...sbom,
        firmware_id: firmwareId,
        document,
        size: document.length,
        component_count: components.length,
        created_by: operator,
      })
      .returning(summaryColumns)
      .executeTakeFirstOrThrow();
    await sql`
      insert into firmware_component (
        firmware_id, position, name, version, purl, package, package_version
      )
      select ${firmwareId}::uuid, position, name, version, purl, package, package_version
      from unnest(
        ${components.map(({ name }) => name)}::text[],
        ${components.map(({ version }) => version)}::text[],
        ${components.map(({ purl }) => purl)}::text[],
        ${components.map((each) => each.package)}::text[],
        ${components.map(({ package_version }) => package_version)}::text[]
      ) with ordinality as each (name, version, purl, package, package_version, position)
    `.execute(tx);
    return { ...stored, created_at: stored.created_at.toISOString() };
  });
}

export async function sbomSummary(db: Db, firmwareId: string): Promise<SbomSummary | undefined> {
  const stored = await db
    .selectFrom("firmware_sbom")
    .select(summaryColumns)
    .where("firmware_id", "=", firmwareId)
    .executeTakeFirst();
  return stored && { ...stored, created_at: stored.created_at.toISOString() };
}

export interface StoredSbom {
  document: Buffer;
  sha256: string;
}

export async function sbomOf(db: Db, firmwareId: string): Promise<StoredSbom | undefined> {
  return db
    .selectFrom("firmware_sbom")
    .select(["document", "sha256"])
    .where("firmware_id", "=", firmwareId)
    .executeTakeFirst();
}

/** @returns whether there was one */
export async function removeSbom(db: Db, firmwareId: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom("firmware_sbom")
    .where("firmware_id", "=", firmwareId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
