import type { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import { scriptLimits, type DiagnosticScript } from "#protocol/mqtt/diagnostic-script.ts";
import { Sid } from "#protocol/uds/service.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { stepAt } from "./script.ts";
import { insertStep, noteFinished, noteRunning, scriptById } from "./script-queries.ts";

type EventOf<Kind extends DiagnosticEvent["kind"]> = Extract<DiagnosticEvent, { kind: Kind }>;

export interface ScriptEventDeps {
  db: Db;
  metrics: Metrics;
  waiters: Waiters;
}

/** All that a run can do: its requests, as many waits, and the cleanup. */
const MAX_STEPS = 3 * scriptLimits.requests;

/** Stores a step, once. @returns false when the vehicle carries out no such script */
export async function takeStep(
  { db, waiters }: ScriptEventDeps,
  vin: string,
  event: EventOf<"script_step">,
): Promise<boolean> {
  const script = await scriptById(db, event.script_id);
  if (script?.vin !== vin || event.seq > MAX_STEPS) return false;
  // A run that was cancelled still tells of its cleanup.
  if (script.status === "awaiting_approval" || script.status === "denied") return false;
  const { script_id, ecu_id } = script;
  const { request, response } = withoutSecrets(script.script, event);
  const { interlock = null, error = null, timing = null } = event;
  await db.transaction().execute(async (tx) => {
    const at = new Date(event.ts);
    const { seq, path } = event;
    const step = { script_id, seq, path, request, response, interlock, error, timing, at };
    if (!(await insertStep(tx, step))) return;
    await noteRunning(tx, script_id);
    await appendEntry(tx, {
      actor: `vehicle:${vin}`,
      action: "script.step",
      vin,
      ecu_id,
      subject: script_id,
      request: request ?? undefined,
      response: response ?? undefined,
      detail: { seq, path, interlock, error },
    });
  });
  waiters.wake(script_id);
  return true;
}

/** Takes the end of a run, once. @returns false when the vehicle carries out no such script */
export async function takeFinished(
  { db, metrics, waiters }: ScriptEventDeps,
  vin: string,
  event: EventOf<"script_finished">,
): Promise<boolean> {
  const { script_id, outcome, steps, error } = event;
  const answers = Object.fromEntries(Object.entries(event.answers).slice(0, scriptLimits.steps));
  const before = await scriptById(db, script_id);
  const row = await db.transaction().execute(async (tx) => {
    const report = { outcome, steps, answers, error };
    const finished = await noteFinished(tx, { vin, script_id }, report);
    if (finished === undefined) return undefined;
    await appendEntry(tx, {
      actor: `vehicle:${vin}`,
      action: "script.finished",
      vin,
      ecu_id: finished.ecu_id,
      subject: script_id,
      detail: { operator: finished.operator, outcome, steps, error },
    });
    return finished;
  });
  // It may come again.
  if (row === undefined) return before?.vin === vin && before.reported_at !== null;
  if (before?.completed_at === null) metrics.diagnosticScripts.inc({ status: row.status });
  waiters.wake(script_id);
  return true;
}

const KEPT: ReadonlyMap<number, { request: number; response: number }> = new Map([
  // Service and level; seed and key stay between the vehicle and whoever computes the key.
  [Sid.securityAccess, { request: 2, response: 2 }],
  // Service and task, and of the answer how it ended.
  [0x29, { request: 2, response: 3 }],
]);
const NEGATIVE = Sid.negativeResponse;

/** The bytes of an exchange but for seeds, keys and proofs. */
function withoutSecrets(
  script: DiagnosticScript,
  { path, request, response }: EventOf<"script_step">,
): { request: Buffer | null; response: Buffer | null } {
  const asked = request === undefined ? null : Buffer.from(request, "hex");
  const answered = response === undefined ? null : Buffer.from(response, "hex");
  const kept = KEPT.get(asked?.[0] ?? 0);
  const step = stepAt(script, path);
  const isPlain = step !== undefined && "request" in step;
  if (kept === undefined || isPlain) return { request: asked, response: answered };
  return {
    request: asked?.subarray(0, kept.request) ?? null,
    response:
      answered?.[0] === NEGATIVE ? answered : (answered?.subarray(0, kept.response) ?? null),
  };
}
