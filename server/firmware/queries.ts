import { sql, type Selectable } from "kysely";
import type {
  Firmware,
  FirmwareMetadata,
  FirmwarePatch,
  Publication,
} from "#protocol/api/firmware.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Release } from "./release.ts";
import type { FirmwareTable } from "./table.ts";

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

export interface FirmwareFilter {
  limit: number;
  cursor?: string | undefined;
  ecu_type?: string | undefined;
  channel?: "stable" | "beta" | undefined;
  status?: "active" | "archived" | undefined;
  publication?: Publication | undefined;
}

/** Firmware, newest upload first, from behind `cursor` on. */
export async function listFirmware(db: Db, filter: FirmwareFilter): Promise<Firmware[]> {
  let query = db
    .selectFrom("firmware")
    .selectAll()
    .orderBy("firmware_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("firmware_id", "<", filter.cursor);
  if (filter.ecu_type !== undefined) query = query.where("ecu_type", "=", filter.ecu_type);
  if (filter.channel !== undefined) query = query.where("channel", "=", filter.channel);
  if (filter.status !== undefined) query = query.where("status", "=", filter.status);
  if (filter.publication !== undefined) {
    const is = filter.publication === "published" ? "is not" : "is";
    query = query.where("published_at", is, null);
  }
  return (await query.execute()).map(asFirmware);
}

/** Changes an active firmware. @returns undefined when there is none, or it is archived */
export async function patchFirmware(
  db: Db,
  firmwareId: string,
  patch: FirmwarePatch,
): Promise<Firmware | undefined> {
  const row = await db
    .updateTable("firmware")
    .set(patch)
    .where("firmware_id", "=", firmwareId)
    .where("status", "=", "active")
    .returningAll()
    .executeTakeFirst();
  return row && asFirmware(row);
}

export async function archiveFirmware(db: Db, firmwareId: string): Promise<Firmware | undefined> {
  const row = await db
    .updateTable("firmware")
    .set({ status: "archived" })
    .where("firmware_id", "=", firmwareId)
    .returningAll()
    .executeTakeFirst();
  return row && asFirmware(row);
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

/** Active, published releases for these ECU types: the planner's catalogue. */
export async function activeReleases(db: Db, ecuTypes: readonly string[]): Promise<Release[]> {
  if (ecuTypes.length === 0) return [];
  return db
    .selectFrom("firmware")
    .select(releaseColumns)
    .where("ecu_type", "in", [...new Set(ecuTypes)])
    .where("status", "=", "active")
    .where("published_at", "is not", null)
    .execute();
}

/** A firmware as it has become. */
export interface ReleaseChange {
  firmware_id: string;
  /** undefined once it is archived, or as long as no signed targets name it. */
  release: Release | undefined;
}

/** What has become of the firmware that was changed later than `since`. */
export async function releasesChangedSince(
  db: Db,
  since: Date,
): Promise<(ReleaseChange & { changed_at: Date })[]> {
  const rows = await db
    .selectFrom("firmware")
    .select([...releaseColumns, "status", "published_at", "changed_at"])
    .where("changed_at", ">", since)
    .execute();
  return rows.map(({ status, published_at, changed_at, ...release }) => ({
    firmware_id: release.firmware_id,
    changed_at,
    release: status === "active" && published_at !== null ? release : undefined,
  }));
}

const imageColumns = [
  "firmware_id",
  "ecu_type",
  "version",
  "hardware_versions",
  "min_current_version",
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

/** Makes these images, and no others, the published ones. @returns how many changed */
export async function setPublished(tx: Tx, firmwareIds: readonly string[]): Promise<number> {
  const { numAffectedRows } = await sql`
    update firmware set published_at = case when published_at is null then now() end
    where (published_at is not null) <> (firmware_id = any (${firmwareIds}::uuid[]))
  `.execute(tx);
  return Number(numAffectedRows ?? 0n);
}

function asFirmware({
  created_by: _,
  sha512: __,
  published_at,
  ...row
}: Selectable<FirmwareTable>): Firmware {
  return {
    ...row,
    publication: published_at === null ? "awaiting_signature" : "published",
    created_at: row.created_at.toISOString(),
  };
}
