import { sql } from "kysely";
import { expiry, type Metadata, type TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import "./table.ts";

/** A metadata file as it is stored. */
export interface StoredFile {
  role: string;
  version: number;
  bytes: Buffer;
  expires_at: Date;
  live: boolean;
}

const columns = ["role", "version", "bytes", "expires_at", "live"] as const;

/** Lets no one else add to a repository's metadata until the transaction ends. */
export async function lockRepository(tx: Tx, repository: RepositoryName): Promise<void> {
  await tx
    .selectFrom("trust_repository")
    .select("repository")
    .where("repository", "=", repository)
    .forUpdate()
    .executeTakeFirstOrThrow();
}

/** The newest file of each role, by role; of those that are served, or also of those that wait. */
export async function newestFiles(
  db: Db,
  repository: RepositoryName,
  which: "live" | "all",
): Promise<Map<string, StoredFile>> {
  let query = db
    .selectFrom("trust_metadata")
    .distinctOn("role")
    .select(columns)
    .where("repository", "=", repository)
    .orderBy("role")
    .orderBy("version", "desc");
  if (which === "live") query = query.where("live", "=", true);
  return new Map((await query.execute()).map((file) => [file.role, file]));
}

/** A file that is served; without a version the newest. */
export async function liveFile(
  db: Db,
  repository: RepositoryName,
  role: string,
  version?: number,
): Promise<Buffer | undefined> {
  let query = db
    .selectFrom("trust_metadata")
    .select("bytes")
    .where("repository", "=", repository)
    .where("role", "=", role)
    .where("live", "=", true);
  if (version !== undefined) query = query.where("version", "=", version);
  return (await query.orderBy("version", "desc").limit(1).executeTakeFirst())?.bytes;
}

/** The newest version of a role that is served. */
export async function liveVersion(
  db: Db,
  repository: RepositoryName,
  role: string,
): Promise<number | undefined> {
  const row = await newestLive(db, repository, role).select("version").executeTakeFirst();
  return row?.version;
}

/** Bytes of the newest file of a role that is served; 0 without one. */
export async function liveSize(db: Db, repository: RepositoryName, role: string): Promise<number> {
  const size = sql<number>`length(bytes)`.as("size");
  const row = await newestLive(db, repository, role).select(size).executeTakeFirst();
  return row?.size ?? 0;
}

function newestLive(db: Db, repository: RepositoryName, role: string) {
  return db
    .selectFrom("trust_metadata")
    .where("repository", "=", repository)
    .where("role", "=", role)
    .where("live", "=", true)
    .orderBy("version", "desc")
    .limit(1);
}

/** Every root that is served, from the first. */
export async function liveRoots(db: Db, repository: RepositoryName): Promise<StoredFile[]> {
  return db
    .selectFrom("trust_metadata")
    .select(columns)
    .where("repository", "=", repository)
    .where("role", "=", "root")
    .where("live", "=", true)
    .orderBy("version")
    .execute();
}

/** The newest root before a version, also one that waits. */
export async function rootBefore(
  db: Db,
  repository: RepositoryName,
  version: number,
): Promise<Buffer | undefined> {
  const row = await db
    .selectFrom("trust_metadata")
    .select("bytes")
    .where("repository", "=", repository)
    .where("role", "=", "root")
    .where("version", "<", version)
    .orderBy("version", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.bytes;
}

/** Stores a file; what waited of its role and is overtaken by it goes. */
export async function insertFile(
  tx: Tx,
  repository: RepositoryName,
  role: string,
  { bytes, signed }: Pick<Metadata<TopLevelRole>, "bytes" | "signed">,
  live: boolean,
): Promise<void> {
  let overtaken = tx
    .deleteFrom("trust_metadata")
    .where("repository", "=", repository)
    .where("role", "=", role)
    .where("live", "=", false);
  // Of roots each is needed: only one that takes the place of another, and what was built on that.
  if (role === "root") overtaken = overtaken.where("version", ">=", signed.version);
  await overtaken.execute();
  const expires_at = new Date(expiry(signed));
  await tx
    .insertInto("trust_metadata")
    .values({ repository, role, version: signed.version, bytes, expires_at, live })
    .execute();
}

export async function goLive(tx: Tx, repository: RepositoryName): Promise<void> {
  await tx
    .updateTable("trust_metadata")
    .set({ live: true })
    .where("repository", "=", repository)
    .where("live", "=", false)
    .execute();
}

/** Forgets all but the newest `kept` versions of each role; roots are for ever. */
export async function trimFiles(tx: Tx, repository: RepositoryName, kept: number): Promise<void> {
  await sql`
    delete from trust_metadata as old
    where repository = ${repository} and role <> 'root' and (
      select count(*) from trust_metadata as newer
      where newer.repository = old.repository and newer.role = old.role
        and newer.version > old.version
    ) >= ${kept}
  `.execute(tx);
}

/** When the newest served file of each role ends: one small query. */
export async function liveExpiries(
  db: Db,
): Promise<{ repository: RepositoryName; role: string; version: number; expires_at: Date }[]> {
  return db
    .selectFrom("trust_metadata")
    .distinctOn(["repository", "role"])
    .select(["repository", "role", "version", "expires_at"])
    .where("live", "=", true)
    .orderBy("repository")
    .orderBy("role")
    .orderBy("version", "desc")
    .execute();
}

export async function insertKey(
  db: Db,
  key: { key_id: string; repository: RepositoryName; role: string; public_key: string },
): Promise<void> {
  await db.insertInto("trust_key").values(key).execute();
}

/** Public keys that were made for roles, newest first. */
export async function madeKeys(
  db: Db,
): Promise<{ repository: RepositoryName; role: string; public_key: string }[]> {
  return db
    .selectFrom("trust_key")
    .select(["repository", "role", "public_key"])
    .orderBy("created_at", "desc")
    .execute();
}

/**
 * Notes which root a vehicle trusts; writes only when it is another one than before, and one that
 * there is.
 */
export async function noteRoot(
  db: Db,
  vin: string,
  repository: RepositoryName,
  version: number,
): Promise<void> {
  const column = `${repository}_root` as const;
  await sql`
    insert into vehicle_trust (vin, ${sql.ref(column)})
    select vin, version from vehicle, trust_metadata
    where vin = ${vin} and repository = ${repository} and role = 'root'
      and version = ${version}::bigint and live
    on conflict (vin) do update set ${sql.ref(column)} = excluded.${sql.ref(column)}
    where vehicle_trust.${sql.ref(column)} is distinct from excluded.${sql.ref(column)}
  `.execute(db);
}

/** How many vehicles trust each root of a repository, and of how many that is not known (null). */
export async function vehiclesByRoot(
  db: Db,
  repository: RepositoryName,
): Promise<{ root_version: number | null; vehicles: number }[]> {
  const column = `vehicle_trust.${repository}_root` as const;
  return db
    .selectFrom("vehicle")
    .leftJoin("vehicle_trust", "vehicle_trust.vin", "vehicle.vin")
    .select([`${column} as root_version`, sql<number>`count(*)`.as("vehicles")])
    .groupBy(column)
    .orderBy(column)
    .execute();
}
