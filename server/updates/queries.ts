import { sql, type Selectable } from "kysely";
import type { Static } from "typebox";
import type { Update, UpdateEvent, UpdateStatus } from "#protocol/api/update.ts";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { lockVehicle } from "#server/vehicles/queries.ts";
import type { UpdateError, VehicleUpdateTable } from "./table.ts";
import { hasStarted, isFinal, touchesFlash, type Target, type UpdateState } from "./update.ts";

/** An update as the state machine needs it. */
export interface OpenUpdate extends UpdateState {
  update_id: string;
  package_id: string;
  campaign_id: string | null;
  progress: number;
  targets: Target[];
  last_report_at: Date;
  deadline_at: Date | null;
}

const openColumns = [
  "update_id",
  "package_id",
  "campaign_id",
  "status",
  "claimed",
  "progress",
  "targets",
  "last_report_at",
  "deadline_at",
] as const;

export async function insertUpdate(
  tx: Tx,
  update: {
    update_id: string;
    vin: string;
    package_id: string;
    targets: Target[];
    campaign_id?: string | null;
    deadline_min?: number;
  },
): Promise<void> {
  await tx
    .insertInto("vehicle_update")
    .values({ ...update, status: "pending", targets: JSON.stringify(update.targets) })
    .execute();
}

/** The one update that a vehicle carries out; it and the vehicle are locked until the transaction ends. */
export async function lockOpenUpdate(tx: Tx, vin: string): Promise<OpenUpdate | undefined> {
  await lockVehicle(tx, vin);
  return tx
    .selectFrom("vehicle_update")
    .select(openColumns)
    .where("vin", "=", vin)
    .where("completed_at", "is", null)
    .forUpdate()
    .executeTakeFirst();
}

/** An update of this vehicle; it and the vehicle are locked until the transaction ends. */
export async function lockUpdate(
  tx: Tx,
  vin: string,
  updateId: string,
): Promise<OpenUpdate | undefined> {
  await lockVehicle(tx, vin);
  return tx
    .selectFrom("vehicle_update")
    .select(openColumns)
    .where("update_id", "=", updateId)
    .where("vin", "=", vin)
    .forUpdate()
    .executeTakeFirst();
}

/** Writes the state that an update has come to; an end and a start are dated here. */
export async function saveState(
  tx: Tx,
  updateId: string,
  state: UpdateState & {
    progress?: number;
    error?: UpdateError | undefined;
    heard?: boolean;
    reasons?: Deferral[] | undefined;
  },
): Promise<void> {
  await tx
    .updateTable("vehicle_update")
    .set({
      status: state.status,
      claimed: state.claimed,
      ...(state.progress === undefined ? {} : { progress: state.progress }),
      ...(state.error === undefined ? {} : { error: JSON.stringify(state.error) }),
      ...(state.reasons === undefined ? {} : { deferral: JSON.stringify(state.reasons) }),
      ...(state.heard === true ? { last_report_at: sql<Date>`now()` } : {}),
      ...(isFinal(state.status) ? { completed_at: sql<Date>`now()` } : {}),
      ...(hasStarted(state.status) ? { started_at: sql<Date>`coalesce(started_at, now())` } : {}),
      ...(touchesFlash(state.status) && !isFinal(state.status)
        ? { deadline_at: sql<Date>`coalesce(deadline_at, now() + deadline_min * interval '1 min')` }
        : {}),
    })
    .where("update_id", "=", updateId)
    .execute();
}

/** The vehicle still wants an update that it has not begun: it waits as long as a new one would. */
export async function renewWaiting(tx: Tx, updateId: string): Promise<void> {
  await tx
    .updateTable("vehicle_update")
    .set({ last_report_at: sql<Date>`now()` })
    .where("update_id", "=", updateId)
    .where("status", "in", ["pending", "deferred"])
    .execute();
}

export async function insertEvent(tx: Tx, report: OtaStatus, applied: boolean): Promise<void> {
  await tx
    .insertInto("update_event")
    .values({
      update_id: report.update_id,
      status: report.status,
      progress: report.progress,
      ecu_id: report.ecu_id ?? null,
      message: report.message ?? null,
      bytes_downloaded: report.bytes_downloaded ?? null,
      error: report.error === undefined ? null : JSON.stringify(report.error),
      applied,
      reported_at: new Date(report.ts),
    })
    .execute();
}

/**
 * Updates to give up, a few at a time: under way and silent since `silence`, or never begun since
 * `untouched`.
 */
export async function silentUpdates(
  db: Db,
  { silence, untouched, limit }: { silence: Date; untouched: Date; limit: number },
): Promise<{ update_id: string; vin: string; since: Date }[]> {
  return db
    .selectFrom("vehicle_update")
    .select(["update_id", "vin", "last_report_at as since"])
    .where("completed_at", "is", null)
    .where(
      "last_report_at",
      "<",
      sql<Date>`
      case when status in ('pending', 'deferred') then ${untouched}::timestamptz else ${silence}::timestamptz end`,
    )
    .orderBy("last_report_at")
    .limit(limit)
    .execute();
}

/** Updates whose installation has begun and whose proof was due before `now`, a few at a time. */
export async function overdueUpdates(
  db: Db,
  now: Date,
  limit: number,
): Promise<{ update_id: string; vin: string }[]> {
  return db
    .selectFrom("vehicle_update")
    .select(["update_id", "vin"])
    .where("completed_at", "is", null)
    .where("deadline_at", "<", now)
    .orderBy("deadline_at")
    .limit(limit)
    .execute();
}

export async function updateById(
  db: Db,
  updateId: string,
): Promise<Static<typeof Update> | undefined> {
  const row = await db
    .selectFrom("vehicle_update")
    .selectAll()
    .where("update_id", "=", updateId)
    .executeTakeFirst();
  return row && asUpdate(row);
}

export async function eventsOf(db: Db, updateId: string): Promise<Static<typeof UpdateEvent>[]> {
  const rows = await db
    .selectFrom("update_event")
    .select([
      "status",
      "progress",
      "ecu_id",
      "message",
      "bytes_downloaded",
      "error",
      "applied",
      "reported_at",
      "received_at",
    ])
    .where("update_id", "=", updateId)
    .orderBy("event_id")
    .limit(2000)
    .execute();
  return rows.map((row) => ({
    ...row,
    reported_at: row.reported_at.toISOString(),
    received_at: row.received_at.toISOString(),
  }));
}

export interface UpdateFilter {
  limit: number;
  cursor?: string | undefined;
  vin?: string | undefined;
  status?: UpdateStatus | undefined;
}

/** Updates, newest first, from behind `cursor` on. */
export async function listUpdates(db: Db, filter: UpdateFilter): Promise<Update[]> {
  let query = db
    .selectFrom("vehicle_update")
    .selectAll()
    .orderBy("update_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("update_id", "<", filter.cursor);
  if (filter.vin !== undefined) query = query.where("vin", "=", filter.vin);
  if (filter.status !== undefined) query = query.where("status", "=", filter.status);
  return (await query.execute()).map(asUpdate);
}

function asUpdate({
  claimed: _,
  last_report_at: __,
  deadline_at: ___,
  deadline_min: ____,
  ...row
}: Selectable<VehicleUpdateTable>): Update {
  return {
    ...row,
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    completed_at: row.completed_at?.toISOString() ?? null,
  };
}
