import { randomUUIDv7 } from "node:crypto";
import { sql, type Selectable } from "kysely";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Vci } from "#protocol/api/vci.ts";
import type {
  DetectedAttack,
  RegisterRequest,
  Vehicle,
  VehicleDetail,
  VehiclePatch,
} from "#protocol/api/vehicle.ts";
import type { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import type { ConnectionRecord } from "#server/runtime/connection.ts";
import type { Evidence } from "./evidence.ts";
import { inventoryOf, saveInventory } from "./inventory.ts";
import type { VehicleTable } from "./table.ts";
import { demandTimeZone } from "./time-zone.ts";

const columns = [
  "vin",
  "model",
  "region",
  "channel",
  "tags",
  "time_zone",
  "status",
  "registered_at",
  "last_seen_at",
  "connection",
  "min_profile",
] as const;

/** What stands behind the vehicle's newest VCI, null when it has sent none, and what attacks it tells. */
const proof = [
  sql<Evidence["evidence"] | null>`(
    select vci.evidence from vci where vci.vin = vehicle.vin and vci.current
  )`.as("evidence"),
  sql<DetectedAttack[]>`coalesce(
    (select vci.attacks from vci where vci.vin = vehicle.vin and vci.current), '[]'
  )`.as("attacks_detected"),
] as const;

/**
 * Adds a vehicle, or renews what it says of itself.
 * @returns whether it is new
 * @throws ProblemError TIME_ZONE_UNKNOWN
 */
export async function registerVehicle(
  db: Db,
  { vin, model, region, vmg_version, time_zone }: RegisterRequest,
): Promise<{ vehicle: Vehicle; created: boolean }> {
  if (time_zone !== undefined) demandTimeZone(time_zone);
  const said = defined({ model, region, vmg_version, time_zone });
  return db.transaction().execute(async (tx) => {
    const { created, ...row } = await tx
      .insertInto("vehicle")
      .values({ model: null, region: null, vmg_version: null, ...said, vin })
      .onConflict((conflict) =>
        conflict.column("vin").doUpdateSet({ last_seen_at: sql`now()`, ...said }),
      )
      .returning([...columns, ...proof, sql<boolean>`xmax = 0`.as("created")])
      .executeTakeFirstOrThrow();
    const vehicle = asVehicle(row);
    if (created) {
      const data = { model: vehicle.model, region: vehicle.region };
      await emit(tx, { kind: "vehicle.registered", vin, data });
    }
    return { vehicle, created };
  });
}

export async function vehicleByVin(db: Db, vin: string): Promise<Vehicle | undefined> {
  const row = await db
    .selectFrom("vehicle")
    .select([...columns, ...proof])
    .where("vin", "=", vin)
    .executeTakeFirst();
  return row && asVehicle(row);
}

export async function vehicleDetail(db: Db, vin: string): Promise<VehicleDetail | undefined> {
  const row = await db
    .selectFrom("vehicle")
    .select([...columns, ...proof, "vmg_version", "heartbeat"])
    .where("vin", "=", vin)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { vmg_version, heartbeat, ...vehicle } = row;
  return { ...asVehicle(vehicle), vmg_version, heartbeat };
}

/** Those of the vehicles that there are, in the order of their VINs. */
export async function vehiclesByVin(db: Db, vins: readonly string[]): Promise<Vehicle[]> {
  const rows = await db
    .selectFrom("vehicle")
    .select([...columns, ...proof])
    .where(sql<boolean>`vin = any (${vins}::text[])`)
    .orderBy("vin")
    .execute();
  return rows.map(asVehicle);
}

/** @throws ProblemError TIME_ZONE_UNKNOWN */
export async function patchVehicle(
  db: Db,
  vin: string,
  patch: VehiclePatch,
): Promise<Vehicle | undefined> {
  if (patch.time_zone) demandTimeZone(patch.time_zone);
  const row = await db
    .updateTable("vehicle")
    .set({
      ...patch,
      ...(patch.tags === undefined ? {} : { tags: patch.tags.toSorted() }),
      ...(patch.min_profile === undefined ? {} : { min_profile_set_at: sql<Date>`now()` }),
    })
    .where("vin", "=", vin)
    .returning([...columns, ...proof])
    .executeTakeFirst();
  return row && asVehicle(row);
}

export interface Sighting {
  vin: string;
  at: Date;
  connection?: ConnectionRecord | undefined;
}

/**
 * Notes when vehicles were last heard of, in one statement. Silent ones come back: online, or to
 * the update that they are carrying out.
 */
export async function noteSightings(db: Db, sightings: Sighting[]): Promise<void> {
  await sql`
    update vehicle set
      last_seen_at = greatest(vehicle.last_seen_at, seen.at),
      connection = coalesce(seen.connection, vehicle.connection),
      status = case
        when vehicle.status not in ('registered', 'offline') then vehicle.status
        when exists (
          select from vehicle_update as open
          where open.vin = vehicle.vin and completed_at is null and open.status <> 'pending'
        ) then 'updating'
        else 'online'
      end
    from unnest(
      ${sightings.map(({ vin }) => vin)}::text[],
      ${sightings.map(({ at }) => at.toISOString())}::timestamptz[],
      ${sightings.map(({ connection }) => (connection ? JSON.stringify(connection) : null))}::jsonb[]
    ) as seen (vin, at, connection), ${lockedInOrder(sightings)} as locked
    where vehicle.vin = seen.vin and vehicle.vin = locked.vin
  `.execute(db);
}

/** Marks vehicles offline that were silent since `since`. @returns which */
export async function markOffline(db: Db, since: Date): Promise<string[]> {
  const rows = await db
    .updateTable("vehicle")
    .set({ status: "offline" })
    .where(
      "vin",
      "in",
      // One that is being written to right now has not been silent.
      db
        .selectFrom("vehicle")
        .select("vin")
        .where("status", "<>", "offline")
        .where("last_seen_at", "<", since)
        .forNoKeyUpdate()
        .skipLocked(),
    )
    .returning("vin")
    .execute();
  return rows.map(({ vin }) => vin);
}

/**
 * Rows to join an update of many vehicles with: two such updates, each locking in an order of its
 * own, would wait for each other for ever.
 */
function lockedInOrder(vehicles: readonly { vin: string }[]) {
  const vins = vehicles.map(({ vin }) => vin);
  return sql`(
    select vin from vehicle where vin = any (${vins}::text[]) order by vin for no key update
  )`;
}

/**
 * Locks a vehicle until the transaction ends. Whoever writes to a vehicle and to something that
 * belongs to it locks the vehicle first, so that nobody waits in a circle.
 * @returns false when it is not registered
 */
export async function lockVehicle(tx: Tx, vin: string): Promise<boolean> {
  const row = await tx
    .selectFrom("vehicle")
    .select("vin")
    .where("vin", "=", vin)
    .forNoKeyUpdate()
    .executeTakeFirst();
  return row !== undefined;
}

export async function beginUpdating(tx: Tx, vin: string): Promise<void> {
  await tx.updateTable("vehicle").set({ status: "updating" }).where("vin", "=", vin).execute();
}

/** The end of an update says nothing of whether the vehicle is there: one that is offline stays so. */
export async function endUpdating(tx: Tx, vin: string): Promise<void> {
  await tx
    .updateTable("vehicle")
    .set({ status: "online" })
    .where("vin", "=", vin)
    .where("status", "=", "updating")
    .execute();
}

/** Keeps the last heartbeat of each vehicle, in one statement. */
export async function saveHeartbeats(
  db: Db,
  heartbeats: { vin: string; heartbeat: Heartbeat }[],
): Promise<void> {
  const newest = new Map(heartbeats.map(({ vin, heartbeat }) => [vin, heartbeat]));
  await sql`
    update vehicle set heartbeat = beat.heartbeat
    from unnest(
      ${[...newest.keys()]}::text[],
      ${[...newest.values()].map((heartbeat) => JSON.stringify(heartbeat))}::jsonb[]
    ) as beat (vin, heartbeat), ${lockedInOrder(heartbeats)} as locked
    where vehicle.vin = beat.vin and vehicle.vin = locked.vin
  `.execute(db);
}

/**
 * Stores a VCI as the vehicle's current one; the one before becomes history. The signed VCI that is
 * the current one already, sent again for want of the answer, is not stored again.
 * Takes a transaction: two VCIs at once must not both become current.
 * @returns its id, and whether it is new; undefined when the vehicle is not registered
 * @throws ProblemError VCI_NONCE_REPEATED
 */
export async function saveVci(
  tx: Tx,
  vin: string,
  vci: Vci,
  { evidence: kind, nonce, digest, attacks }: Evidence,
): Promise<{ vci_id: string; isNew: boolean } | undefined> {
  if (!(await lockVehicle(tx, vin))) return undefined;
  const last = await lastSigned(tx, vin);
  if (last !== undefined && nonce === last.nonce) {
    if (digest === null || last.digest?.equals(digest) !== true) {
      throw new ProblemError("VCI_NONCE_REPEATED");
    }
    return { vci_id: last.vci_id, isNew: false };
  }
  await tx
    .updateTable("vci")
    .set({ current: false })
    .where("vin", "=", vin)
    .where("current", "=", true)
    .execute();
  const vci_id = randomUUIDv7();
  await tx
    .insertInto("vci")
    .values({
      vci_id,
      vin,
      reason: vci.reason ?? null,
      collected_at: vci.collected_at === undefined ? null : new Date(vci.collected_at),
      zones: JSON.stringify(vci.zones),
      ecus: JSON.stringify(vci.ecus),
      evidence: kind,
      nonce,
      digest,
      attacks: JSON.stringify(attacks),
    })
    .execute();
  await saveInventory(tx, vin, inventoryOf(vci.ecus));
  return { vci_id, isNew: true };
}

/** The current VCI, if it is a signed one. */
async function lastSigned(tx: Tx, vin: string) {
  return tx
    .selectFrom("vci")
    .select(["vci_id", "nonce", "digest"])
    .where("vin", "=", vin)
    .where("current", "=", true)
    .where("nonce", "is not", null)
    .executeTakeFirst();
}

export interface StoredVci {
  vci_id: string;
  received_at: string;
  reason: string | null;
  zones: Vci["zones"];
  ecus: Vci["ecus"];
  evidence: Evidence["evidence"];
  nonce: string | null;
  attacks_detected: DetectedAttack[];
}

export async function currentVci(db: Db, vin: string): Promise<StoredVci | undefined> {
  const [vci] = await selectVcis(db, vin).where("current", "=", true).execute();
  return vci && { ...vci, received_at: vci.received_at.toISOString() };
}

/** The types of ECUs by their vehicles' newest VCIs; of one that is in none, undefined. */
export async function ecuTypesOf(
  db: Db,
  vins: readonly string[],
): Promise<(vin: string, ecuId: string) => string | undefined> {
  if (vins.length === 0) return () => undefined;
  const rows = await db
    .selectFrom("vci")
    .select(["vin", "ecus"])
    .where("current", "=", true)
    .where("vin", "in", [...new Set(vins)])
    .execute();
  const byVin = new Map(rows.map(({ vin, ecus }) => [vin, ecus]));
  return (vin, ecuId) => byVin.get(vin)?.find((ecu) => ecu.ecu_id === ecuId)?.ecu_type;
}

/** What a vehicle consists of, by its newest VCI. */
export type CurrentEcus = Pick<StoredVci, "zones" | "ecus">;

/** Undefined for a vehicle that has submitted no VCI. */
export async function currentEcus(db: Db, vin: string): Promise<CurrentEcus | undefined> {
  return db
    .selectFrom("vci")
    .select(["zones", "ecus"])
    .where("vin", "=", vin)
    .where("current", "=", true)
    .executeTakeFirst();
}

/** VCIs of a vehicle, newest first, from behind `cursor` on. */
export async function listVcis(
  db: Db,
  vin: string,
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): Promise<StoredVci[]> {
  let query = selectVcis(db, vin).orderBy("vci_id", "desc").limit(limit);
  if (cursor !== undefined) query = query.where("vci_id", "<", cursor);
  return (await query.execute()).map((vci) => ({
    ...vci,
    received_at: vci.received_at.toISOString(),
  }));
}

function selectVcis(db: Db, vin: string) {
  return db
    .selectFrom("vci")
    .select(["vci_id", "received_at", "reason", "zones", "ecus", "evidence", "nonce"])
    .select("attacks as attacks_detected")
    .where("vin", "=", vin);
}

function asVehicle(
  row: Pick<Selectable<VehicleTable>, (typeof columns)[number]> & {
    evidence: Evidence["evidence"] | null;
    attacks_detected: DetectedAttack[];
  },
): Vehicle {
  return {
    ...row,
    registered_at: row.registered_at.toISOString(),
    last_seen_at: row.last_seen_at.toISOString(),
  };
}

/** Without the keys whose value is undefined, which would otherwise overwrite. */
function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}
