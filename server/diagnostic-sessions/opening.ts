import { randomUUIDv7 } from "node:crypto";
import type { ServerConfig } from "#config/server.ts";
import type { SessionRequest, SessionTakeover } from "#protocol/api/diagnostic-session.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { appendEntry, type AuditLog } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { requestApproval, type ApprovalDecision } from "#server/diagnostic-policy/approvals.ts";
import type { Operator } from "#server/http/access.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import { operatorById } from "#server/operators/queries.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { endAudited, type Endings } from "./ending.ts";
import type { Keeper } from "./keeper.ts";
import {
  beginOpening,
  insertSession,
  sessionById,
  sessionLocks,
  type SessionRow,
} from "./queries.ts";
import { permission } from "./permission.ts";
import { revokedSince } from "./revocation-queries.ts";
import { mayTakeOver, sessionRequest } from "./session.ts";
import { targetEcu } from "./target.ts";

export interface OpeningDeps {
  db: Db;
  audit: AuditLog;
  mqtt: Pick<Mqtt, "connection">;
  keeper: Keeper;
  endings: Endings;
  waiters: Waiters;
  config: ServerConfig["diagnostics"];
}

/**
 * Opens a session at the vehicle, or has it approved first.
 * @returns it as it is after `wait_ms`, or sooner when it is open or over
 * @throws ProblemError VEHICLE_UNKNOWN, VCI_MISSING, ECU_UNKNOWN, DIAGNOSTIC_DENIED, SESSION_EXISTS,
 *   VEHICLE_OFFLINE
 */
export async function openSession(
  deps: OpeningDeps,
  operator: Operator,
  request: SessionRequest,
): Promise<SessionRow> {
  const { vin, ecu_id } = request;
  return begin(deps, operator, {
    ...request,
    vin,
    ecu_id,
    uds_session: Number.parseInt(request.uds_session, 16),
    replaced: undefined,
  });
}

/**
 * Ends the session of somebody of a lower role and opens one of the caller's own on the same ECU.
 * @throws ProblemError SESSION_UNKNOWN, SESSION_ENDED, TAKEOVER_REFUSED, and those of opening
 */
export async function takeOverSession(
  deps: OpeningDeps,
  operator: Operator,
  sessionId: string,
  request: SessionTakeover,
): Promise<SessionRow> {
  const replaced = await sessionById(deps.db, sessionId);
  if (replaced === undefined) throw new ProblemError("SESSION_UNKNOWN", sessionId);
  if (replaced.status !== "open" && replaced.status !== "opening") {
    throw new ProblemError("SESSION_ENDED", `it is ${replaced.status}`);
  }
  if (!mayTakeOver(operator.role, replaced.role)) {
    throw new ProblemError("TAKEOVER_REFUSED", `it is of ${replaced.operator}, ${replaced.role}`);
  }
  const { uds_session } = request;
  return begin(deps, operator, {
    ...request,
    vin: replaced.vin,
    ecu_id: replaced.ecu_id,
    uds_session:
      uds_session === undefined ? replaced.uds_session : Number.parseInt(uds_session, 16),
    replaced,
  });
}

interface Wanted {
  vin: string;
  ecu_id: string;
  uds_session: number;
  max_s?: number | undefined;
  reason?: string | undefined;
  wait_ms: number;
  replaced: SessionRow | undefined;
}

async function begin(deps: OpeningDeps, operator: Operator, wanted: Wanted): Promise<SessionRow> {
  const { db, config, mqtt } = deps;
  const { vin, ecu_id, uds_session, replaced } = wanted;
  const ecu = await targetEcu(db, vin, ecu_id);
  const requests = [sessionRequest(uds_session)];
  const verdict = await permission(deps, { operator, vin, ecus: [ecu], requests });
  const max_s = Math.min(wanted.max_s ?? config.session_max_s, config.session_max_s);
  const session = {
    session_id: randomUUIDv7(),
    vin,
    ecu_id,
    uds_session,
    operator: operator.name,
    role: operator.role,
    token_id: operator.token_id,
    reason: wanted.reason ?? null,
    max_s,
    takes_over: replaced?.session_id ?? null,
    expires_at: inSeconds(max_s),
  };
  if (verdict.kind === "approval") {
    const expires_at = inSeconds(config.approval_ttl_s);
    return db.transaction().execute(async (tx) => {
      const row = await insertSession(tx, { ...session, status: "awaiting_approval", expires_at });
      if (row === undefined) throw new ProblemError("SESSION_EXISTS");
      await requestApproval(tx, {
        subject_kind: "session",
        subject: row.session_id,
        vin,
        requested_by: operator.name,
        reason: verdict.reason,
        level: verdict.level,
        summary: `UDS session ${hex(uds_session)} with ${ecu_id}`,
        expires_at,
      });
      return row;
    });
  }
  if (mqtt.connection(vin) === undefined) throw new ProblemError("VEHICLE_OFFLINE", vin);
  const { row, ended } = await db.transaction().execute(async (tx) => {
    const ended = replaced ? await replace(tx, replaced, operator.name) : [];
    const row = await insertSession(tx, { ...session, status: "opening" });
    if (row === undefined) throw await existing(tx, vin, ecu_id);
    await auditOpening(tx, row);
    return { row, ended };
  });
  await deps.endings.follow(ended);
  // A revocation did not see what was not committed.
  if ((await revokedSince(db, row, row.created_at)) !== undefined) {
    const [over] = await deps.endings.end({ session_id: row.session_id }, revokedMeanwhile);
    return over ?? row;
  }
  await askVehicle(deps, row);
  return waitOpening(deps, row, wanted.wait_ms);
}

/** Goes on with a session as was decided about it. */
export async function decideSession(
  deps: OpeningDeps,
  { subject, approved, decided_by }: ApprovalDecision,
): Promise<void> {
  const by = decided_by === "gateway" ? decided_by : `operator:${decided_by}`;
  const choice = { session_id: subject, statuses: ["awaiting_approval"] } as const;
  if (!approved) {
    await deps.endings.end(choice, { reason: "denied", by });
    return;
  }
  const waiting = await sessionById(deps.db, subject);
  if (waiting === undefined) return;
  const opening = await openApproved(deps, waiting, decided_by).catch((error: unknown) => error);
  if (opening instanceof ProblemError) {
    const error = { code: opening.code, message: opening.message };
    await deps.endings.end(choice, { reason: "denied", by: "gateway", error });
    return;
  }
  if (opening instanceof Error) throw opening;
  // Its end is on the session for whoever asks.
  await askVehicle(deps, opening as SessionRow).catch(() => undefined);
}

/** What was allowed when it was asked for may not be any more. */
async function openApproved(
  deps: OpeningDeps,
  waiting: SessionRow,
  decidedBy: string,
): Promise<SessionRow> {
  const { db, endings } = deps;
  const { vin, ecu_id, session_id, takes_over, max_s, uds_session } = waiting;
  const operator = await operatorById(db, waiting.token_id);
  if (operator === undefined) {
    throw new ProblemError("TOKEN_INVALID", `the token of ${waiting.operator} has ended`);
  }
  const ecu = await targetEcu(db, vin, ecu_id);
  const requests = [sessionRequest(uds_session)];
  await permission(deps, { operator, vin, ecus: [ecu], requests });
  const opening = db.transaction().execute(async (tx) => {
    const replaced = takes_over === null ? undefined : await sessionById(tx, takes_over);
    const ended = replaced ? await replace(tx, replaced, operator.name) : [];
    const row = await beginOpening(tx, session_id, inSeconds(max_s));
    // Whom it was to take over goes on.
    if (row === undefined) throw new ProblemError("SESSION_ENDED", "it waits no longer");
    await auditOpening(tx, row, decidedBy);
    return { row, ended };
  });
  const { row, ended } = await opening.catch(async (error: unknown) => {
    const isTaken = (error as { code?: unknown }).code === UNIQUE_VIOLATION;
    throw isTaken ? await existing(db, vin, ecu_id) : error;
  });
  await endings.follow(ended);
  return row;
}

async function askVehicle({ keeper, endings }: OpeningDeps, row: SessionRow): Promise<void> {
  const result = keeper.open(row);
  if (result === "sent" || result === "sent_once") return;
  const message =
    result === "busy"
      ? "the vehicle does not take what was sent to it before"
      : "the vehicle is not connected";
  const error = { code: "VEHICLE_OFFLINE", message };
  await endings.end({ session_id: row.session_id }, { reason: "refused", by: "gateway", error });
  throw new ProblemError("VEHICLE_OFFLINE", message);
}

async function waitOpening(
  { db, waiters }: OpeningDeps,
  row: SessionRow,
  ms: number,
): Promise<SessionRow> {
  const settled = waiters.wait(row.session_id, ms);
  const now = (await sessionById(db, row.session_id)) ?? row;
  if (now.status !== "opening") return now;
  await settled;
  return (await sessionById(db, row.session_id)) ?? row;
}

function replace(tx: Tx, { session_id }: SessionRow, operator: string): Promise<SessionRow[]> {
  const ending = { reason: "taken_over", by: `operator:${operator}` } as const;
  return endAudited(tx, { session_id }, ending, "session.taken_over");
}

async function existing(tx: Db, vin: string, ecuId: string): Promise<ProblemError> {
  const [lock] = await sessionLocks(tx, vin, [ecuId]);
  const holder = lock ? `${lock.operator} has ${lock.session_id}` : "it has just ended; try again";
  return new ProblemError("SESSION_EXISTS", holder);
}

async function auditOpening(tx: Tx, row: SessionRow, approvedBy?: string): Promise<void> {
  const { session_id, vin, ecu_id, operator, reason, uds_session, max_s } = row;
  await appendEntry(tx, {
    actor: `operator:${operator}`,
    action: "session.opened",
    vin,
    ecu_id,
    subject: session_id,
    request: sessionRequest(uds_session),
    detail: { reason, max_s, approved_by: approvedBy },
  });
}

const revokedMeanwhile = { reason: "revoked", by: "gateway" } as const;
/** SQLSTATE: another session keeps the ECU. */
const UNIQUE_VIOLATION = "23505";
const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000);
const hex = (byte: number) => byte.toString(16).padStart(2, "0").toUpperCase();
