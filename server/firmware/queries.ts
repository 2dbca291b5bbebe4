import { sql, type Selectable } from "kysely";
import type { Firmware, FirmwareMetadata, FirmwarePatch } from "#protocol/api/firmware.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { emitAll } from "#server/events/outbox.ts";
import type { Release } from "./release.ts";
import type { FirmwareTable } from "./table.ts";
import type { Listed } from "./warnings.ts";

/** What an upload adds to the metadata that the operator gave. */
export interface StoredImage {
  firmware_id: string;
  size: number;
  sha256: string;
  sha512: string;
  compressed_size: number;
  compressed_sha256: string;
  created_by: string;
}

/** @returns undefined when this version of this ECU type is there already */
export async function insertFirmware(
  db: Db,
  metadata: FirmwareMetadata,
  image: StoredImage,
): Promise<Firmware | undefined> {
  const row = await db
    .insertInto("firmware")
    .values({
      ...metadata,
      ...image,
      min_current_version: metadata.min_current_version ?? null,
      release_notes: metadata.release_notes ?? null,
      build_number: metadata.build_number ?? null,
      requires: JSON.stringify(metadata.requires ?? []),
      rxswin: metadata.rxswin ?? null,
    })
    .onConflict((conflict) => conflict.columns(["ecu_type", "version"]).doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && asFirmware(row);
}

export async function firmwareExists(db: Db, ecuType: string, version: string): Promise<boolean> {
  const row = await db
    .selectFrom("firmware")
    .select("firmware_id")
    .where("ecu_type", "=", ecuType)
    .where("version", "=", version)
    .executeTakeFirst();
  return row !== undefined;
}

export async function firmwareById(db: Db, firmwareId: string): Promise<Firmware | undefined> {
  const row = await db
    .selectFrom("firmware")
    .selectAll()
    .where("firmware_id", "=", firmwareId)
    .executeTakeFirst();
  return row && asFirmware(row);
}

export async function firmwareByIds(db: Db, firmwareIds: readonly string[]): Promise<Firmware[]> {
  const rows = await db
    .selectFrom("firmware")
    .selectAll()
    .where("firmware_id", "in", firmwareIds)
    .execute();
  return rows.map(asFirmware);
}

/** As {@link firmwareById}; nobody else changes it until the transaction ends. */
export async function lockFirmware(tx: Tx, firmwareId: string): Promise<Firmware | undefined> {
  const row = await tx
    .selectFrom("firmware")
    .selectAll()
    .where("firmware_id", "=", firmwareId)
    .forUpdate()
    .executeTakeFirst();
  return row && asFirmware(row);
}

export async function patchFirmware(
  tx: Tx,
  firmwareId: string,
  { requires, ...patch }: FirmwarePatch,
): Promise<Firmware> {
  const row = await tx
    .updateTable("firmware")
    .set({ ...patch, ...(requires && { requires: JSON.stringify(requires) }) })
    .where("firmware_id", "=", firmwareId)
    .returningAll()
    .executeTakeFirstOrThrow();
  return asFirmware(row);
}

export async function archiveFirmware(tx: Tx, firmwareId: string): Promise<Firmware> {
  const row = await tx
    .updateTable("firmware")
    .set({ status: "archived", archived_at: sql<Date>`now()` })
    .where("firmware_id", "=", firmwareId)
    .returningAll()
    .executeTakeFirstOrThrow();
  return asFirmware(row);
}

/** Which of these are archived. */
export async function archivedAmong(db: Db, firmwareIds: readonly string[]): Promise<string[]> {
  const rows = await db
    .selectFrom("firmware")
    .select("firmware_id")
    .where("firmware_id", "in", firmwareIds)
    .where("status", "=", "archived")
    .execute();
  return rows.map(({ firmware_id }) => firmware_id);
}

const listedColumns = [
  "firmware_id",
  "ecu_type",
  "version",
  "hardware_versions",
  "channel",
  "min_current_version",
  "requires",
  "availability",
] as const;

/** Active firmware of a type and of all types that it requires, directly or not. */
export async function listedAround(db: Db, ecuType: string): Promise<Listed[]> {
  const listed: Listed[] = [];
  const known = new Set<string>();
  for (let types = new Set([ecuType]); types.size > 0;) {
    const rows = await db
      .selectFrom("firmware")
      .select(listedColumns)
      .where("ecu_type", "in", [...types])
      .where("status", "=", "active")
      .execute();
    listed.push(...rows);
    for (const type of types) known.add(type);
    const required = new Set(rows.flatMap(({ requires }) => requires.map((each) => each.ecu_type)));
    types = required.difference(known);
  }
  return listed;
}

/** Active firmware of a type, and what requires that type. */
export async function listedUpon(db: Db, ecuType: string): Promise<Listed[]> {
  return db
    .selectFrom("firmware")
    .select(listedColumns)
    .where("status", "=", "active")
    .where(
      sql<boolean>`(ecu_type = ${ecuType} or requires @> ${JSON.stringify([{ ecu_type: ecuType }])})`,
    )
    .execute();
}

const releaseColumns = [
  "firmware_id",
  "ecu_type",
  "version",
  "hardware_versions",
  "channel",
  "min_current_version",
  "requires",
  "availability",
  "critical",
  "compressed_size as size",
] as const;

/** A firmware as it has become. */
export interface ReleaseChange {
  firmware_id: string;
  /** undefined once it is archived, or as long as no signed targets name it. */
  release: Release | undefined;
}

/**
 * What has become of the firmware that was changed by a transaction from `position` on, which is the
 * first one that had not ended at the time of an earlier reading. Neither clocks nor the order of
 * commits matter.
 * @param position undefined for all firmware
 */
export async function releaseChanges(
  db: Db,
  position: string | undefined,
): Promise<{ changes: ReleaseChange[]; position: string | undefined }> {
  let query = db
    .selectFrom("firmware")
    .select([...releaseColumns, "status", "published_at"])
    .select(sql<string>`pg_snapshot_xmin(pg_current_snapshot())::text`.as("position"));
  if (position !== undefined) {
    // In a database that was restored elsewhere, numbers from before may be ahead: all were read.
    query = query
      .where(sql<boolean>`changed_by >= ${position}::xid8`)
      .where(sql<boolean>`changed_by < pg_snapshot_xmax(pg_current_snapshot())`);
  }
  const rows = await query.execute();
  const changes = rows.map(({ status, published_at, position: _, ...release }) => ({
    firmware_id: release.firmware_id,
    release: status === "active" && published_at !== null ? release : undefined,
  }));
  return { changes, position: rows[0]?.position ?? position };
}

const imageColumns = [
  "firmware_id",
  "ecu_type",
  "version",
  "hardware_versions",
  "min_current_version",
  "requires",
  "size",
  "sha256",
  "sha512",
] as const;

/** What signed targets say of an image. */
export type FirmwareImage = Pick<Selectable<FirmwareTable>, (typeof imageColumns)[number]>;

/** Every image, or only those that no signed targets name, oldest upload first. */
export async function listImages(
  db: Db,
  which: "all" | "awaiting_signature",
  limit?: number,
): Promise<FirmwareImage[]> {
  let query = db.selectFrom("firmware").select(imageColumns).orderBy("firmware_id");
  // What was archived before it was signed is not wanted any more.
  if (which === "awaiting_signature") {
    query = query.where("published_at", "is", null).where("status", "=", "active");
  }
  if (limit !== undefined) query = query.limit(limit);
  return query.execute();
}

export async function imagesByIds(
  db: Db,
  firmwareIds: readonly string[],
): Promise<FirmwareImage[]> {
  if (firmwareIds.length === 0) return [];
  return db
    .selectFrom("firmware")
    .select(imageColumns)
    .where("firmware_id", "in", firmwareIds)
    .execute();
}

/** How many images no signed targets name. */
export async function countAwaiting(db: Db): Promise<number> {
  const { count } = await db
    .selectFrom("firmware")
    .select(sql<number>`count(*)`.as("count"))
    .where("published_at", "is", null)
    .where("status", "=", "active")
    .executeTakeFirstOrThrow();
  return count;
}

/**
 * Makes these images, and no others, the published ones, and tells of those that it publishes.
 * @returns how many changed
 */
export async function setPublished(tx: Tx, firmwareIds: readonly string[]): Promise<number> {
  const { rows } = await sql<PublishedRow>`
    update firmware set published_at = case when published_at is null then now() end
    where (published_at is not null) <> (firmware_id = any (${firmwareIds}::uuid[]))
    returning firmware_id, ecu_type, version, channel, availability, published_at
  `.execute(tx);
  const events = rows.flatMap(({ published_at, firmware_id: subject, ...data }) =>
    published_at === null ? [] : [{ kind: "firmware.published", subject, data }],
  );
  await emitAll(tx, events);
  return rows.length;
}

type PublishedRow = Pick<
  Selectable<FirmwareTable>,
  "firmware_id" | "ecu_type" | "version" | "channel" | "availability" | "published_at"
>;

/** A row as the API shows it. */
export function asFirmware({
  created_by: _,
  sha512: __,
  changed_by: ___,
  version_key: ____,
  published_at,
  ...row
}: Selectable<FirmwareTable>): Firmware {
  return {
    ...row,
    publication: published_at === null ? "awaiting_signature" : "published",
    created_at: row.created_at.toISOString(),
    archived_at: row.archived_at?.toISOString() ?? null,
  };
}
