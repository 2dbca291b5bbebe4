import { sql, type RawBuilder } from "kysely";
import type { HistoryItem } from "#protocol/api/history.ts";
import type { UpdateStatus } from "#protocol/api/update.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Target } from "#server/updates/update.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import "./table.ts";

/** Notes which firmware an update brings. */
export async function insertUpdateFirmware(
  tx: Tx,
  updateId: string,
  targets: readonly Target[],
): Promise<void> {
  const ids = [...new Set(targets.map(({ firmware_id }) => firmware_id))];
  if (ids.length === 0) return;
  await tx
    .insertInto("update_firmware")
    .values(ids.map((firmware_id) => ({ firmware_id, update_id: updateId })))
    .execute();
}

/** Notes an update that has ended, for each of its ECUs. */
export async function insertHistory(tx: Tx, updateId: string): Promise<void> {
  await sql`
    insert into update_history (update_id, ordinal, vin, campaign_id, ecu_id, zone_id, ecu_type,
      hardware_version, firmware_id, from_version, to_version, status, error, created_at,
      started_at, completed_at)
    select update_id, ordinal - 1, vin, campaign_id, target ->> 'ecu_id', target ->> 'zone_id',
      target ->> 'ecu_type', target ->> 'hardware_version', (target ->> 'firmware_id')::uuid,
      target ->> 'from_version', target ->> 'to_version', status, error, created_at, started_at,
      date_trunc('milliseconds', completed_at)
    from vehicle_update, jsonb_array_elements(targets) with ordinality as each (target, ordinal)
    where update_id = ${updateId} and completed_at is not null
    order by ordinal`.execute(tx);
}

/**
 * Notes which ECUs run again what they ran before the last update that succeeded on them: they were
 * taken back by a command, or otherwise.
 * @returns those that did not before
 */
export async function noteReverted(
  tx: Tx,
  vin: string,
  ecus: readonly InventoryEcu[],
): Promise<{ update_id: string; ecu_id: string }[]> {
  const { rows } = await sql<{ update_id: string; ecu_id: string }>`
    update update_history as ended
    set reverted_at = date_trunc('milliseconds', now())
    from jsonb_to_recordset(${JSON.stringify(ecus)}::jsonb) as ecu (
      ecu_id text, hardware_version text, software_version text
    )
    where vin = ${vin} and status = 'success' and reverted_at is null
      and ended.ecu_id = ecu.ecu_id
      and ended.hardware_version = ecu.hardware_version
      and ended.from_version = ecu.software_version
      and not exists (
        select from update_history later
        where later.vin = ended.vin and later.ecu_id = ended.ecu_id and later.status = 'success'
          and later.reverted_at is null and later.history_id > ended.history_id
      )
    returning ended.update_id, ended.ecu_id`.execute(tx);
  return rows;
}

/** Where a list goes on. */
export interface HistoryPosition {
  /** Milliseconds since 1970. */
  at: number;
  history_id: string;
}

export interface HistoryFilter {
  vin?: string | undefined;
  ecu_type?: string | undefined;
  firmware_id?: string | undefined;
  campaign_id?: string | undefined;
  status?: UpdateStatus | undefined;
  /** Only successes that were taken back later. */
  reverted?: boolean | undefined;
  /** Ended from this time on. */
  from?: Date | undefined;
  /** Ended before this time. */
  to?: Date | undefined;
}

const filterColumns = ["vin", "ecu_type", "firmware_id", "campaign_id", "status"] as const;

export type HistoryRow = HistoryItem & { history_id: number };

/** ECUs whose updates have ended, the last one first, from behind `after` on. */
export async function listHistory(
  db: Db,
  { from, to, reverted, ...equal }: HistoryFilter,
  { after, limit }: { after: HistoryPosition | undefined; limit: number },
): Promise<HistoryRow[]> {
  const conditions: RawBuilder<unknown>[] = filterColumns.flatMap((column) =>
    equal[column] === undefined ? [] : [sql`${sql.ref(column)} = ${equal[column]}`],
  );
  if (from !== undefined) conditions.push(sql`completed_at >= ${from}`);
  if (to !== undefined) conditions.push(sql`completed_at < ${to}`);
  if (reverted === true) conditions.push(sql`reverted_at is not null`);
  if (after !== undefined) {
    const at = sql`to_timestamp(${after.at}::double precision / 1000)`;
    conditions.push(sql`(completed_at, history_id) < (${at}, ${after.history_id}::bigint)`);
  }
  // Its index has no others: let the planner see it.
  if (equal.status !== undefined && equal.status !== "success") {
    conditions.push(sql`status <> 'success'`);
  }
  const where = conditions.length > 0 ? sql`where ${sql.join(conditions, sql` and `)}` : sql``;
  const { rows } = await sql<
    Omit<HistoryRow, Times> &
      Record<Times, Date> & { started_at: Date | null; reverted_at: Date | null }
  >`
    select history_id, update_id, vin, campaign_id, ecu_id, zone_id, ecu_type, hardware_version,
      firmware_id, from_version, to_version, status, error, created_at, started_at, completed_at,
      reverted_at
    from update_history ${where}
    order by completed_at desc, history_id desc limit ${limit}`.execute(db);
  return rows.map((row) => ({
    ...row,
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    completed_at: row.completed_at.toISOString(),
    reverted_at: row.reverted_at?.toISOString() ?? null,
  }));
}

type Times = "created_at" | "started_at" | "completed_at";

export interface LogFilter {
  vin?: string | undefined;
  update_id?: string | undefined;
  firmware_id?: string | undefined;
  ecu_id?: string | undefined;
  status?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** What vehicles have told of their updates, the last first, from behind `cursor` on. */
export async function listLogs(
  db: Db,
  { limit, cursor, ...filter }: LogFilter & { limit: number; cursor?: number | undefined },
) {
  let query = db
    .selectFrom("update_event as log")
    .innerJoin("vehicle_update as update", "update.update_id", "log.update_id")
    .select([
      "log.event_id",
      "log.update_id",
      "update.vin",
      "update.campaign_id",
      "log.ecu_id",
      "log.status",
      "log.progress",
      "log.message",
      "log.bytes_downloaded",
      "log.error",
      "log.applied",
      "log.reported_at",
      "log.received_at",
    ])
    .orderBy("log.event_id", "desc")
    .limit(limit);
  const { vin, update_id, firmware_id, ecu_id, status, from, to } = filter;
  if (cursor !== undefined) query = query.where("log.event_id", "<", cursor);
  if (vin !== undefined) query = query.where("update.vin", "=", vin);
  if (update_id !== undefined) query = query.where("log.update_id", "=", update_id);
  if (ecu_id !== undefined) query = query.where("log.ecu_id", "=", ecu_id);
  if (status !== undefined) query = query.where("log.status", "=", status);
  if (from !== undefined) query = query.where("log.received_at", ">=", from);
  if (to !== undefined) query = query.where("log.received_at", "<", to);
  if (firmware_id !== undefined) {
    query = query.where((where) =>
      where.exists(
        where
          .selectFrom("update_firmware as brought")
          .select("brought.update_id")
          .whereRef("brought.update_id", "=", "log.update_id")
          .where("brought.firmware_id", "=", firmware_id),
      ),
    );
  }
  return (await query.execute()).map(({ event_id, ...row }) => ({
    log_id: event_id,
    ...row,
    reported_at: row.reported_at.toISOString(),
    received_at: row.received_at.toISOString(),
  }));
}
