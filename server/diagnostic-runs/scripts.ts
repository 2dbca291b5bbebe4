import { randomUUIDv7 } from "node:crypto";
import type { ServerConfig } from "#config/server.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { DiagnosticScript } from "#protocol/mqtt/diagnostic-script.ts";
import { appendEntry, type AuditLog } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { follow } from "#server/database/follow.ts";
import {
  requestApproval,
  type ApprovalDecision,
  type Approvals,
} from "#server/diagnostic-policy/approvals.ts";
import { permission } from "#server/diagnostic-sessions/permission.ts";
import { demandFree } from "#server/diagnostic-sessions/lock.ts";
import { revokedSince } from "#server/diagnostic-sessions/revocation-queries.ts";
import type { Revocations } from "#server/diagnostic-sessions/revoke.ts";
import type { Sessions } from "#server/diagnostic-sessions/service.ts";
import { targetEcu } from "#server/diagnostic-sessions/target.ts";
import type { Operator } from "#server/http/access.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { isOver, requestsOf } from "./script.ts";
import { recheckScript } from "./script-permission.ts";
import * as queries from "./script-queries.ts";
import type { ScriptChoice, ScriptEnd, ScriptRow } from "./script-queries.ts";
import type { RunError } from "./table.ts";

export interface WantedScript {
  vin: string;
  ecu_id: string;
  session_id?: string | undefined;
  script: DiagnosticScript;
  max_s: number;
  reason?: string | undefined;
  wait_ms: number;
}

export interface Scripts {
  /**
   * Has a vehicle carry out a script, once it is approved where that is needed; one that is offline
   * gets it when it comes back in time.
   * @returns it as it is after `wait_ms`, or when it has ended
   * @throws ProblemError VEHICLE_UNKNOWN, VCI_MISSING, ECU_UNKNOWN, ECU_LOCKED, SESSION_UNKNOWN,
   *   SESSION_OF_ANOTHER, SESSION_ENDED, DIAGNOSTIC_DENIED
   */
  run(operator: Operator, wanted: WantedScript): Promise<ScriptRow>;
  /**
   * Ends it; one that the vehicle has already ends when the vehicle says so, its cleanup done.
   * @throws ProblemError SCRIPT_UNKNOWN, SESSION_OF_ANOTHER
   */
  cancel(operator: Operator, scriptId: string, waitMs: number): Promise<ScriptRow>;
  /** Ends what is overdue. @returns how many */
  expire(): Promise<number>;
  stop(): void;
}

export interface ScriptDeps {
  db: Db;
  audit: AuditLog;
  mqtt: Mqtt;
  approvals: Approvals;
  revocations: Revocations;
  sessions: Sessions;
  waiters: Waiters;
  config: ServerConfig["diagnostics"];
  /** How often what other gateways change is looked for; undefined where there is none. */
  everyMs: number | undefined;
  metrics: Metrics;
  log: Log;
}

/** What changed longer ago has been seen, or its vehicle was not here. */
const RECENT_MS = 60_000;
/** After its time a run may take so long for its cleanup, and for saying so. */
const GRACE_S = 60;

export async function createScripts(deps: ScriptDeps): Promise<Scripts> {
  const { db, mqtt, approvals, revocations, sessions, log } = deps;
  const inBackground = (work: Promise<unknown>) => {
    work.catch((error: unknown) => log.error({ err: error }, "Scripts could not be settled"));
  };

  // Somebody may have started or ended it at another gateway than the vehicle's.
  const seen = new Set<string>();
  const followed = await follow({
    what: "diagnostic scripts",
    changedSince: (since) => queries.scriptsChangedSince(db, since, RECENT_MS),
    apply(rows) {
      const keyOf = ({ script_id, changed_at }: ScriptRow) => `${script_id} ${+changed_at}`;
      const now = new Set(rows.map(keyOf));
      for (const key of seen) if (!now.has(key)) seen.delete(key);
      const fresh = rows.filter(
        (row) => !seen.has(keyOf(row)) && mqtt.connection(row.vin) !== undefined,
      );
      for (const row of fresh) seen.add(keyOf(row));
      for (const vin of new Set(fresh.map((row) => row.vin))) inBackground(settle(deps, vin));
    },
    everyMs: deps.everyMs,
    log,
  });
  mqtt.whenListening("diagnostics/control", (vin) => inBackground(settle(deps, vin)));
  mqtt.whenAcknowledged("diagnostics/control", (vin, payload) => {
    const message = JSON.parse(payload.toString()) as DiagnosticControl;
    if (message.kind !== "run_script") return;
    inBackground(queries.noteAcknowledged(db, vin, message.script_id));
  });
  approvals.onDecided(async (decision) => {
    if (decision.subject_kind === "script") await decide(deps, decision);
  });
  revocations.onRevoked(async ({ vin, operator, token_id, revoked_by, changed_at }) => {
    const choice = {
      until: changed_at,
      ...(vin !== null && { vin }),
      ...(operator !== null && { operator }),
      ...(token_id !== null && { token_id }),
    };
    await end(deps, choice, { status: "cancelled", by: revoked_by, error: revoked });
  });
  sessions.onEnded(async ({ session_id, ended_by }) => {
    await cancelAll(deps, { session_id }, ended_by ?? "gateway");
  });

  return {
    run: (operator, wanted) => run(deps, operator, wanted),
    async cancel(operator, scriptId, waitMs) {
      const row = await queries.scriptById(db, scriptId);
      if (row === undefined) throw new ProblemError("SCRIPT_UNKNOWN", scriptId);
      if (row.operator !== operator.name && operator.role !== "admin") {
        throw new ProblemError("SESSION_OF_ANOTHER", `it is of ${row.operator}`);
      }
      await cancelAll(deps, { script_ids: [scriptId] }, `operator:${operator.name}`);
      return settled(deps, row, waitMs);
    },
    async expire() {
      const overdue = await queries.scriptsOverdue(db, GRACE_S);
      for (const { script_id, end: status } of overdue) {
        await end(deps, { script_ids: [script_id] }, { status, by: "gateway" });
      }
      return overdue.length;
    },
    stop: followed.stop,
  };
}

const revoked: RunError = { code: "REVOKED", message: "remote diagnostics was ended at once" };

async function run(deps: ScriptDeps, operator: Operator, wanted: WantedScript): Promise<ScriptRow> {
  const { db, config } = deps;
  const { vin, ecu_id, session_id = null, script, max_s } = wanted;
  const ecu = await targetEcu(db, vin, ecu_id);
  await demandFree(db, operator, { vin, session_id, ecu_id }, [ecu_id]);
  const requests = requestsOf(script);
  const verdict = await permission(deps, { operator, vin, ecus: [ecu], requests });
  const isHeld = verdict.kind === "approval";
  const expires_at = inSeconds(isHeld ? config.approval_ttl_s : max_s);
  const row = await db.transaction().execute(async (tx) => {
    const inserted = await queries.insertScript(tx, {
      script_id: randomUUIDv7(),
      vin,
      ecu_id,
      session_id,
      script,
      status: isHeld ? "awaiting_approval" : "queued",
      operator: operator.name,
      token_id: operator.token_id,
      reason: wanted.reason ?? null,
      max_s,
      expires_at,
    });
    if (isHeld) {
      await requestApproval(tx, {
        subject_kind: "script",
        subject: inserted.script_id,
        vin,
        requested_by: operator.name,
        reason: verdict.reason,
        level: verdict.level,
        summary: `script of ${script.steps.length} steps for ${ecu_id}`,
        expires_at,
      });
    } else {
      await auditStart(tx, inserted);
    }
    return inserted;
  });
  // A revocation did not see what was not committed.
  if ((await revokedSince(db, row, row.created_at)) !== undefined) {
    const ending = { status: "cancelled", by: "gateway", error: revoked } as const;
    await end(deps, { script_ids: [row.script_id] }, ending);
  } else if (!isHeld) await send(deps, row);
  return settled(deps, row, wanted.wait_ms);
}

async function decide(
  deps: ScriptDeps,
  { subject, approved, decided_by }: ApprovalDecision,
): Promise<void> {
  const { db } = deps;
  const waiting = await queries.scriptById(db, subject);
  if (waiting === undefined) return;
  const choice: ScriptChoice = { script_ids: [subject], statuses: ["awaiting_approval"] };
  if (!approved) {
    const by = decided_by === "gateway" ? decided_by : `operator:${decided_by}`;
    await end(deps, choice, { status: "denied", by });
    return;
  }
  if (!(await mayGoOn(deps, waiting))) return;
  const row = await db.transaction().execute(async (tx) => {
    const queued = await queries.approveScript(tx, subject, inSeconds(waiting.max_s));
    if (queued) await auditStart(tx, queued, decided_by);
    return queued;
  });
  if (row) await send(deps, row);
}

async function auditStart(tx: Tx, row: ScriptRow, approvedBy?: string): Promise<void> {
  const { script_id, vin, ecu_id, session_id, operator, reason, max_s, script } = row;
  await appendEntry(tx, {
    actor: `operator:${operator}`,
    action: "script.started",
    vin,
    ecu_id,
    subject: script_id,
    detail: { session_id, reason, max_s, approved_by: approvedBy, script },
  });
}

/** One that can't be sent now waits for the vehicle. */
async function send({ db, mqtt }: ScriptDeps, row: ScriptRow): Promise<boolean> {
  const { script_id, vin, ecu_id, session_id, script, expires_at } = row;
  const message: DiagnosticControl = {
    kind: "run_script",
    script_id,
    ecu_id,
    ...(session_id !== null && { session_id }),
    script,
    expires_at: expires_at.toISOString(),
  };
  const result = mqtt.send(vin, "diagnostics/control", message);
  const isSent = result === "sent" || result === "sent_once";
  if (isSent) await queries.noteSent(db, script_id);
  return isSent;
}

/** A vehicle is there again: it gets what it has not got, and hears again what is to end. */
async function settle(deps: ScriptDeps, vin: string): Promise<void> {
  for (const row of await queries.scriptsToSettle(deps.db, vin)) {
    if (row.cancelled_by !== null) tellCancelled(deps, [row]);
    else if ((await mayGoOn(deps, row)) && !(await send(deps, row))) return;
  }
}

/** May what has waited still be done? It has ended where not. */
async function mayGoOn(deps: ScriptDeps, row: ScriptRow): Promise<boolean> {
  try {
    await recheckScript(deps, row);
    return true;
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const { code, message } = error;
    const ending = { status: "cancelled", by: "gateway", error: { code, message } } as const;
    await end(deps, { script_ids: [row.script_id] }, ending);
    return false;
  }
}

/** What a vehicle has not got ends at once; what it has, when it says so. */
async function cancelAll(deps: ScriptDeps, choice: ScriptChoice, by: string): Promise<void> {
  const statuses = ["awaiting_approval", "queued"] as const;
  await end(deps, { ...choice, statuses }, { status: "cancelled", by });
  const rows = await queries.noteCancelling(deps.db, choice, by);
  tellCancelled(deps, rows);
}

/** Ends it now, whatever the vehicle will say. */
async function end(
  deps: ScriptDeps,
  choice: ScriptChoice,
  ending: { status: ScriptEnd; by: string; error?: RunError },
): Promise<void> {
  const rows = await deps.db.transaction().execute(async (tx) => {
    const ended = await queries.endScripts(tx, choice, ending);
    for (const { script_id, vin, ecu_id, operator } of ended) {
      await appendEntry(tx, {
        actor: ending.by,
        action: "script.finished",
        vin,
        ecu_id,
        subject: script_id,
        detail: { operator, outcome: ending.status, error: ending.error },
      });
    }
    return ended;
  });
  tellCancelled(deps, rows);
  for (const { script_id, status } of rows) {
    deps.metrics.diagnosticScripts.inc({ status });
    deps.waiters.wake(script_id);
  }
}

function tellCancelled({ mqtt }: ScriptDeps, rows: readonly ScriptRow[]): void {
  for (const { vin, script_id, status } of rows) {
    if (status === "denied") continue;
    mqtt.send(vin, "diagnostics/control", { kind: "cancel_script", script_id });
  }
}

async function settled(deps: ScriptDeps, row: ScriptRow, ms: number): Promise<ScriptRow> {
  const until = performance.now() + ms;
  for (;;) {
    // Asked before the row is read: what happens in between is not missed.
    const left = Math.max(0, until - performance.now());
    const leave = new AbortController();
    const woken = deps.waiters.wait(row.script_id, left, leave.signal);
    const now = (await queries.scriptById(deps.db, row.script_id)) ?? row;
    if (isOver(now.status) || left === 0) {
      leave.abort();
      return now;
    }
    await woken;
  }
}

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000);
