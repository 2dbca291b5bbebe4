import { sql, type Selectable } from "kysely";
import type { ScanPhase, ScanSummary } from "#protocol/api/diagnostic-scan.ts";
import type { ScannedEcu } from "#protocol/mqtt/diagnostic-event.ts";
import type { Db } from "#server/database/connection.ts";
import type { DiagnosticScanTable, RunError } from "./table.ts";

export type ScanRow = Selectable<DiagnosticScanTable>;

/** @returns undefined when the vehicle is being scanned already */
export async function insertScan(
  db: Db,
  scan: { scan_id: string; vin: string; requested_by: string },
): Promise<ScanRow | undefined> {
  return db
    .insertInto("diagnostic_scan")
    .values({ ...scan, status: "requested", update_id: null, phase: null })
    .onConflict((conflict) =>
      conflict
        .column("vin")
        .where("status", "=", sql<"requested">`'requested'`)
        .doNothing(),
    )
    .returningAll()
    .executeTakeFirst();
}

/** Takes the result of a scan, once. @returns undefined when it is not open, or another vehicle's */
export async function completeScan(
  db: Db,
  { vin, scan_id }: { vin: string; scan_id: string },
  result: { ecus: readonly ScannedEcu[]; taken_at: Date },
): Promise<ScanRow | undefined> {
  return db
    .updateTable("diagnostic_scan")
    .set({
      status: "completed",
      ecus: JSON.stringify(result.ecus),
      taken_at: result.taken_at,
      completed_at: sql<Date>`now()`,
    })
    .where("scan_id", "=", scan_id)
    .where("vin", "=", vin)
    .where("status", "=", "requested")
    .returningAll()
    .executeTakeFirst();
}

export async function endScan(
  db: Db,
  scanId: string,
  status: "failed" | "expired",
  error: RunError,
): Promise<ScanRow | undefined> {
  return db
    .updateTable("diagnostic_scan")
    .set({ status, error: JSON.stringify(error), completed_at: sql<Date>`now()` })
    .where("scan_id", "=", scanId)
    .where("status", "=", "requested")
    .returningAll()
    .executeTakeFirst();
}

/**
 * Stores a scan around an update of this vehicle, the first of each phase.
 * @returns `unknown` when the vehicle has no such update
 */
export async function insertUpdateScan(
  db: Db,
  scan: {
    scan_id: string;
    vin: string;
    update_id: string;
    phase: ScanPhase;
    ecus: readonly ScannedEcu[];
    taken_at: Date;
  },
): Promise<"stored" | "repeated" | "unknown"> {
  const { rows } = await sql`
    select from vehicle_update where update_id = ${scan.update_id} and vin = ${scan.vin}
  `.execute(db);
  if (rows.length === 0) return "unknown";
  const row = await db
    .insertInto("diagnostic_scan")
    .values({
      ...scan,
      ecus: JSON.stringify(scan.ecus),
      status: "completed",
      requested_by: null,
      completed_at: new Date(),
    })
    .onConflict((conflict) =>
      conflict.columns(["update_id", "phase"]).where("update_id", "is not", null).doNothing(),
    )
    .returning("scan_id")
    .executeTakeFirst();
  return row ? "stored" : "repeated";
}

export async function scanById(db: Db, scanId: string): Promise<ScanRow | undefined> {
  return db
    .selectFrom("diagnostic_scan")
    .selectAll()
    .where("scan_id", "=", scanId)
    .executeTakeFirst();
}

/** The two scans around an update; undefined where there is none. */
export async function scansAround(
  db: Db,
  updateId: string,
): Promise<{ before: ScanRow | undefined; after: ScanRow | undefined }> {
  const rows = await db
    .selectFrom("diagnostic_scan")
    .selectAll()
    .where("update_id", "=", updateId)
    .execute();
  const of = (wanted: ScanPhase) => rows.find(({ phase }) => phase === wanted);
  return { before: of("before_update"), after: of("after_update") };
}

/** Scans that no vehicle has answered for so long. */
export async function scansOverdue(db: Db, afterS: number): Promise<{ scan_id: string }[]> {
  return db
    .selectFrom("diagnostic_scan")
    .select("scan_id")
    .where("status", "=", "requested")
    .where("created_at", "<", sql<Date>`now() - ${afterS} * interval '1 second'`)
    .limit(1000)
    .execute();
}

export interface ScanFilter {
  limit: number;
  cursor?: string | undefined;
  vin?: string | undefined;
  update_id?: string | undefined;
}

/** Scans without their results, newest first, from behind `cursor` on. */
export async function listScans(db: Db, filter: ScanFilter): Promise<ScanSummary[]> {
  let query = db
    .selectFrom("diagnostic_scan")
    .select([
      "scan_id",
      "vin",
      "update_id",
      "phase",
      "status",
      "requested_by",
      "error",
      "created_at",
      "taken_at",
      "completed_at",
    ])
    .orderBy("scan_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("scan_id", "<", filter.cursor);
  if (filter.vin !== undefined) query = query.where("vin", "=", filter.vin);
  if (filter.update_id !== undefined) query = query.where("update_id", "=", filter.update_id);
  return (await query.execute()).map(asSummary);
}

export function asSummary(row: Omit<ScanRow, "ecus">): ScanSummary {
  const { scan_id, vin, update_id, phase, status, requested_by, error } = row;
  return {
    scan_id,
    vin,
    update_id,
    phase,
    status,
    requested_by,
    error,
    created_at: row.created_at.toISOString(),
    taken_at: row.taken_at?.toISOString() ?? null,
    completed_at: row.completed_at?.toISOString() ?? null,
  };
}
