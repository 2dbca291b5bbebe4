import { sql, type Selectable } from "kysely";
import type { ScriptStatus } from "#protocol/api/diagnostic-script.ts";
import type { DiagnosticScript } from "#protocol/mqtt/diagnostic-script.ts";
import type { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";
import type { Db } from "#server/database/connection.ts";
import { scriptStatusesBefore, type ScriptInput } from "./script.ts";
import type { DiagnosticScriptStepTable, DiagnosticScriptTable, RunError } from "./table.ts";

export type ScriptRow = Selectable<DiagnosticScriptTable>;
export type StepRow = Selectable<DiagnosticScriptStepTable>;
export type ScriptEnd = Extract<ScriptInput, { type: "end" }>["status"];

export interface NewScript {
  script_id: string;
  vin: string;
  ecu_id: string;
  session_id: string | null;
  script: DiagnosticScript;
  status: "awaiting_approval" | "queued";
  operator: string;
  token_id: string;
  reason: string | null;
  max_s: number;
  expires_at: Date;
}

export async function insertScript(db: Db, script: NewScript): Promise<ScriptRow> {
  return db
    .insertInto("diagnostic_script")
    .values({ ...script, script: JSON.stringify(script.script) })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** @returns undefined when it does not wait for that any longer */
export async function approveScript(
  db: Db,
  scriptId: string,
  expiresAt: Date,
): Promise<ScriptRow | undefined> {
  return move(db, scriptId, { type: "approved" }, "queued")
    .set({ expires_at: expiresAt })
    .returningAll()
    .executeTakeFirst();
}

export async function noteSent(db: Db, scriptId: string): Promise<void> {
  await move(db, scriptId, { type: "sent" }, "sent").execute();
}

/** The vehicle has it: it is not sent again. */
export async function noteAcknowledged(db: Db, vin: string, scriptId: string): Promise<void> {
  await db
    .updateTable("diagnostic_script")
    .set({ acknowledged_at: sql<Date>`now()` })
    .where("script_id", "=", scriptId)
    .where("vin", "=", vin)
    .where("acknowledged_at", "is", null)
    .execute();
}

/** A step that came before is left as it is. @returns whether it is new */
export async function insertStep(
  db: Db,
  step: Omit<StepRow, "error" | "timing"> & {
    interlock: Interlock | null;
    error: RunError | null;
    timing: VehicleTiming | null;
  },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto("diagnostic_script_step")
    .values({ ...step, error: json(step.error), timing: json(step.timing) })
    .onConflict((conflict) => conflict.columns(["script_id", "seq"]).doNothing())
    .executeTakeFirst();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}

export async function noteRunning(db: Db, scriptId: string): Promise<void> {
  await move(db, scriptId, { type: "step" }, "running").execute();
}

/**
 * Takes what a vehicle reports at the end of a run, once. What the gateway has ended itself stays
 * ended as it was. @returns undefined when it was reported before, or is no such vehicle's
 */
export async function noteFinished(
  db: Db,
  { vin, script_id }: { vin: string; script_id: string },
  report: {
    outcome: ScriptEnd;
    steps: number;
    answers: Record<string, string>;
    error: RunError | undefined;
  },
): Promise<ScriptRow | undefined> {
  const open = scriptStatusesBefore({ type: "end", status: "completed" });
  const isOpen = sql<boolean>`status = any (${open}::text[])`;
  return db
    .updateTable("diagnostic_script")
    .set({
      steps: report.steps,
      answers: JSON.stringify(report.answers),
      reported_at: sql<Date>`now()`,
      status: sql<ScriptStatus>`case when ${isOpen} then ${report.outcome}::text else status end`,
      error: sql<string>`case when ${isOpen} then ${json(report.error ?? null)}::jsonb else error end`,
      completed_at: sql<Date>`coalesce(completed_at, now())`,
      changed_at: sql<Date>`now()`,
    })
    .where("script_id", "=", script_id)
    .where("vin", "=", vin)
    .where("reported_at", "is", null)
    .where("status", "not in", ["awaiting_approval", "denied"])
    .returningAll()
    .executeTakeFirst();
}

/** Which scripts; all that is named holds. */
export interface ScriptChoice {
  script_ids?: readonly string[];
  vin?: string;
  operator?: string;
  token_id?: string;
  session_id?: string;
  until?: Date;
  statuses?: readonly ScriptStatus[];
}

/** Ends those of the choice that can end so. @returns them */
export async function endScripts(
  db: Db,
  choice: ScriptChoice,
  end: { status: ScriptEnd; by: string; error?: RunError | undefined },
): Promise<ScriptRow[]> {
  const possible = scriptStatusesBefore({ type: "end", status: end.status });
  return chosen(db, choice, possible)
    .set({
      status: end.status,
      ...(end.status === "cancelled" && { cancelled_by: end.by }),
      ...(end.error && { error: JSON.stringify(end.error) }),
      completed_at: sql<Date>`now()`,
      changed_at: sql<Date>`now()`,
    })
    .returningAll()
    .execute();
}

/** Notes that those of the choice that vehicles carry out are to end. @returns them */
export async function noteCancelling(
  db: Db,
  choice: ScriptChoice,
  by: string,
): Promise<ScriptRow[]> {
  return chosen(db, choice, ["sent", "running"])
    .set({ cancelled_by: by, changed_at: sql<Date>`now()` })
    .returningAll()
    .execute();
}

function chosen(db: Db, choice: ScriptChoice, possible: readonly ScriptStatus[]) {
  const { statuses = possible } = choice;
  let query = db
    .updateTable("diagnostic_script")
    .where(
      "status",
      "in",
      possible.filter((status) => statuses.includes(status)),
    )
    // What has ended is by far the most, and has no place in the index.
    .where("completed_at", "is", null);
  if (choice.script_ids) query = query.where("script_id", "in", choice.script_ids);
  if (choice.vin !== undefined) query = query.where("vin", "=", choice.vin);
  if (choice.operator !== undefined) query = query.where("operator", "=", choice.operator);
  if (choice.token_id !== undefined) query = query.where("token_id", "=", choice.token_id);
  if (choice.session_id !== undefined) query = query.where("session_id", "=", choice.session_id);
  if (choice.until !== undefined) query = query.where("created_at", "<=", choice.until);
  return query;
}

/**
 * What a vehicle that is listening is to be told: what it has not got, and what is to end in it.
 */
export async function scriptsToSettle(db: Db, vin: string): Promise<ScriptRow[]> {
  return db
    .selectFrom("diagnostic_script")
    .selectAll()
    .where("vin", "=", vin)
    .where("expires_at", ">", sql<Date>`now()`)
    .where((where) =>
      where.or([
        where("status", "=", "queued"),
        where.and([where("status", "=", "sent"), where("acknowledged_at", "is", null)]),
        where.and([where("cancelled_by", "is not", null), where("reported_at", "is", null)]),
      ]),
    )
    .orderBy("script_id")
    .limit(100)
    .execute();
}

/**
 * Scripts that wait for a vehicle or are to end in one, and have changed since then, in so many
 * milliseconds at most. Whoever stored one sends it within a second.
 */
export async function scriptsChangedSince(
  db: Db,
  since: Date,
  maxAgeMs: number,
): Promise<(ScriptRow & { changed_at: Date })[]> {
  return db
    .selectFrom("diagnostic_script")
    .selectAll()
    .where("changed_at", ">", since)
    .where("changed_at", ">", sql<Date>`now() - ${maxAgeMs} * interval '1 millisecond'`)
    .where("changed_at", "<", sql<Date>`now() - interval '1 second'`)
    .where("reported_at", "is", null)
    .where((where) =>
      where.or([where("status", "=", "queued"), where("cancelled_by", "is not", null)]),
    )
    .execute();
}

/** Scripts whose time is over, and those whose operator's token has ended, open ones only. */
export async function scriptsOverdue(
  db: Db,
  graceS: number,
): Promise<{ script_id: string; end: "expired" | "cancelled" }[]> {
  const { rows } = await sql<{ script_id: string; end: "expired" | "cancelled" }>`
    select script_id, "end" from (
      select script_id, case
        when script.status in ('awaiting_approval', 'queued') and script.expires_at <= now()
          then 'expired'
        when script.expires_at < now() - ${graceS} * interval '1 second' then 'expired'
        when token.token_id is null then 'cancelled'
      end as "end"
      from diagnostic_script as script
      left join operator_token as token on token.token_id = script.token_id
        and token.revoked_at is null
        and (token.expires_at is null or token.expires_at > now())
      where completed_at is null
    ) as open
    where "end" is not null
    limit 1000
  `.execute(db);
  return rows;
}

export async function scriptById(db: Db, scriptId: string): Promise<ScriptRow | undefined> {
  return db
    .selectFrom("diagnostic_script")
    .selectAll()
    .where("script_id", "=", scriptId)
    .executeTakeFirst();
}

export interface ScriptFilter {
  limit: number;
  cursor?: string | undefined;
  vin?: string | undefined;
  ecu_id?: string | undefined;
  session_id?: string | undefined;
  operator?: string | undefined;
  status?: ScriptStatus | undefined;
}

/** Scripts, newest first, from behind `cursor` on. */
export async function listScripts(db: Db, filter: ScriptFilter): Promise<ScriptRow[]> {
  let query = db
    .selectFrom("diagnostic_script")
    .selectAll()
    .orderBy("script_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("script_id", "<", filter.cursor);
  for (const column of ["vin", "ecu_id", "session_id", "operator", "status"] as const) {
    const value = filter[column];
    if (value !== undefined) query = query.where(column, "=", value);
  }
  return query.execute();
}

/** Steps of a run in their order, from behind `after` on. */
export async function stepsOf(
  db: Db,
  scriptId: string,
  { after, limit }: { after: number; limit: number },
): Promise<StepRow[]> {
  return db
    .selectFrom("diagnostic_script_step")
    .selectAll()
    .where("script_id", "=", scriptId)
    .where("seq", ">", after)
    .orderBy("seq")
    .limit(limit)
    .execute();
}

function move(db: Db, scriptId: string, input: ScriptInput, to: ScriptStatus) {
  return db
    .updateTable("diagnostic_script")
    .set({ status: to, changed_at: sql<Date>`now()` })
    .where("script_id", "=", scriptId)
    .where("status", "in", scriptStatusesBefore(input));
}

const json = (value: object | null) => (value === null ? null : JSON.stringify(value));
