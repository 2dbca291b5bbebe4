import { randomUUIDv7 } from "node:crypto";
import type { Scan, ScanDiff } from "#protocol/api/diagnostic-scan.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import type { Catalogues } from "#protocol/uds/catalogue.ts";
import { Sid } from "#protocol/uds/service.ts";
import { appendEntry, type AuditLog } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { permission } from "#server/diagnostic-sessions/permission.ts";
import { targetEcus } from "#server/diagnostic-sessions/target.ts";
import type { Operator } from "#server/http/access.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { ecuTypesOf, lockVehicle } from "#server/vehicles/queries.ts";
import { diffScans, freshDtcs, type FreshDtc } from "./scan-diff.ts";
import {
  asSummary,
  completeScan,
  endScan,
  insertScan,
  insertUpdateScan,
  scanById,
  scansAround,
  scansOverdue,
  type ScanRow,
} from "./scan-queries.ts";
import { asScanEcu, READ_DTCS } from "./scan-view.ts";
import type { RunError } from "./table.ts";

type ScanEvent = Extract<DiagnosticEvent, { kind: "scan" }>;

export interface Scans {
  /**
   * Has a vehicle read identification and trouble codes of all its ECUs.
   * @throws ProblemError VEHICLE_UNKNOWN, VCI_MISSING, DIAGNOSTIC_DENIED, VEHICLE_OFFLINE,
   *   SCAN_RUNNING
   */
  start(operator: Operator, wanted: { vin: string; wait_ms: number }): Promise<Scan>;
  /** Takes a result, once. @returns false when nobody wants it of this vehicle */
  take(vin: string, event: ScanEvent): Promise<boolean>;
  /** @throws ProblemError SCAN_UNKNOWN */
  read(scanId: string): Promise<Scan>;
  /** @throws ProblemError SCAN_UNKNOWN, REQUEST_INVALID when they can't be compared */
  diff(beforeId: string, afterId: string): Promise<ScanDiff>;
  /** @throws ProblemError SCAN_UNKNOWN */
  diffOfUpdate(updateId: string): Promise<ScanDiff>;
  /** Ends what no vehicle has answered. @returns how many */
  expire(): Promise<number>;
}

export interface ScanDeps {
  db: Db;
  audit: AuditLog;
  mqtt: Pick<Mqtt, "connection" | "send">;
  catalogues: Catalogues;
  waiters: Waiters;
  metrics: Metrics;
  /** Called when an update has brought DTCs, with the vehicle locked. */
  newDtcs?:
    | ((
        tx: Tx,
        update: { update_id: string; vin: string },
        dtcs: readonly FreshDtc[],
      ) => Promise<void>)
    | undefined;
}

/** A vehicle with a hundred slow ECUs needs minutes. */
const ANSWER_S = 600;

export function createScans(deps: ScanDeps): Scans {
  const { db, waiters, metrics } = deps;
  const view = (row: ScanRow) => asScan(deps, row);
  const known = async (scanId: string) => {
    const row = await scanById(db, scanId);
    if (row === undefined) throw new ProblemError("SCAN_UNKNOWN", scanId);
    return row;
  };

  async function end(scanId: string, status: "failed" | "expired", error: RunError): Promise<void> {
    const row = await db.transaction().execute(async (tx) => {
      const ended = await endScan(tx, scanId, status, error);
      if (ended) await appendEntry(tx, finished(ended, "gateway", { status, error }));
      return ended;
    });
    if (row === undefined) return;
    metrics.diagnosticScans.inc({ status });
    waiters.wake(scanId);
  }

  return {
    async start(operator, { vin, wait_ms }) {
      const row = await begin(deps, operator, vin);
      const { scan_id } = row;
      const woken = waiters.wait(scan_id, wait_ms);
      const result = deps.mqtt.send(vin, "diagnostics/control", { kind: "scan", scan_id });
      if (result === "offline" || result === "busy") {
        const message = "the vehicle does not take what is sent to it";
        await end(scan_id, "failed", { code: "VEHICLE_OFFLINE", message });
        throw new ProblemError("VEHICLE_OFFLINE", message);
      }
      await woken;
      return view((await scanById(db, scan_id)) ?? row);
    },
    take: (vin, event) => takeScan(deps, vin, event),
    read: async (scanId) => view(await known(scanId)),
    async diff(beforeId, afterId) {
      const [before, after] = await Promise.all([known(beforeId), known(afterId)]);
      if (before.vin !== after.vin) {
        throw new ProblemError("REQUEST_INVALID", "the scans are of two vehicles");
      }
      const open = [before, after].find(({ status }) => status !== "completed");
      if (open) throw new ProblemError("REQUEST_INVALID", `${open.scan_id} has no result`);
      return compared(await view(before), await view(after));
    },
    async diffOfUpdate(updateId) {
      const { before, after } = await scansAround(db, updateId);
      if (before === undefined || after === undefined) {
        const lacks = before === undefined ? "before" : "after";
        throw new ProblemError("SCAN_UNKNOWN", `there is none of ${lacks} the update`);
      }
      return compared(await view(before), await view(after));
    },
    async expire() {
      const overdue = await scansOverdue(db, ANSWER_S);
      const message = "the vehicle did not answer";
      for (const { scan_id } of overdue) {
        await end(scan_id, "expired", { code: "VEHICLE_TIMEOUT", message });
      }
      return overdue.length;
    },
  };
}

/** What a scan asks: which data identifiers is the vehicle's to say, so it may be any; trouble codes. */
const asked = [Uint8Array.of(Sid.readDataByIdentifier), READ_DTCS];

async function begin(deps: ScanDeps, operator: Operator, vin: string): Promise<ScanRow> {
  const ecus = await targetEcus(deps.db, vin);
  const verdict = await permission(deps, { operator, vin, ecus, requests: asked });
  if (verdict.kind === "approval") {
    throw new ProblemError("DIAGNOSTIC_DENIED", `a scan can't be approved: ${verdict.reason}`);
  }
  if (deps.mqtt.connection(vin) === undefined) throw new ProblemError("VEHICLE_OFFLINE", vin);
  return deps.db.transaction().execute(async (tx) => {
    const requested_by = operator.name;
    const row = await insertScan(tx, { scan_id: randomUUIDv7(), vin, requested_by });
    if (row === undefined) throw new ProblemError("SCAN_RUNNING", vin);
    const actor = `operator:${requested_by}`;
    await appendEntry(tx, { actor, action: "scan.started", vin, subject: row.scan_id });
    return row;
  });
}

async function takeScan(deps: ScanDeps, vin: string, event: ScanEvent): Promise<boolean> {
  const { scan_id, update_id, phase, ecus } = event;
  if (new Set(ecus.map(({ ecu_id }) => ecu_id)).size < ecus.length) return false;
  const taken_at = new Date(event.ts);
  if (scan_id !== undefined) {
    const row = await deps.db.transaction().execute(async (tx) => {
      const completed = await completeScan(tx, { vin, scan_id }, { ecus, taken_at });
      const detail = { status: "completed", ecus: ecus.length };
      if (completed) await appendEntry(tx, finished(completed, `vehicle:${vin}`, detail));
      return completed;
    });
    // It may come again.
    if (row === undefined) return (await scanById(deps.db, scan_id))?.vin === vin;
    deps.metrics.diagnosticScans.inc({ status: "completed" });
    deps.waiters.wake(scan_id);
    return true;
  }
  if (update_id === undefined || phase === undefined) return false;
  const scan = { scan_id: randomUUIDv7(), vin, update_id, phase, ecus, taken_at };
  const stored = await deps.db.transaction().execute(async (tx) => {
    // The other one may be on its way at the same moment: the later one sees both. Updates of a
    // vehicle that was removed are still there.
    if (!(await lockVehicle(tx, vin))) return "unknown";
    const result = await insertUpdateScan(tx, scan);
    if (result !== "stored") return result;
    await tellFresh(deps, tx, { update_id, vin });
    const detail = { status: "completed", ecus: ecus.length, update_id, phase };
    await appendEntry(tx, finished(scan, `vehicle:${vin}`, detail));
    return result;
  });
  if (stored === "stored") deps.metrics.diagnosticScans.inc({ status: "completed" });
  return stored !== "unknown";
}

/** Tells of DTCs that have come with an update, once both its scans are there. */
async function tellFresh(
  deps: ScanDeps,
  tx: Tx,
  update: { update_id: string; vin: string },
): Promise<void> {
  const { before, after } = await scansAround(tx, update.update_id);
  if (before === undefined || after === undefined) return;
  const of = async (row: ScanRow) => (await asScan({ ...deps, db: tx }, row)).ecus;
  const fresh = freshDtcs(await of(before), await of(after));
  if (fresh.length > 0) await deps.newDtcs?.(tx, update, fresh);
}

function finished(
  { scan_id, vin }: { scan_id: string; vin: string },
  actor: string,
  detail: Record<string, unknown>,
) {
  return { actor, action: "scan.finished", vin, subject: scan_id, detail };
}

async function asScan(
  { db, catalogues }: Pick<ScanDeps, "db" | "catalogues">,
  row: ScanRow,
): Promise<Scan> {
  const typeOf = await ecuTypesOf(db, [row.vin]);
  const { ecus, ...rest } = row;
  const decoded = ecus.map((ecu) => asScanEcu(ecu, catalogues.of(typeOf(row.vin, ecu.ecu_id))));
  return { ...asSummary(rest), ecus: decoded };
}

function compared(before: Scan, after: Scan): ScanDiff {
  return { before: before.scan_id, after: after.scan_id, ...diffScans(before.ecus, after.ecus) };
}
