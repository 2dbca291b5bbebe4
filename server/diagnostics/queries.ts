import { sql, type ExpressionBuilder } from "kysely";
import type { DiagnosticStatus, Hops } from "#protocol/api/diagnostics.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";
import type { Db } from "#server/database/connection.ts";
import type { Tables } from "#server/database/tables.ts";
import type { DiagnosticError, RawResponse } from "./table.ts";

export interface NewRequest {
  request_id: string;
  vin: string;
  ecu_id: string | null;
  zone_id: string | null;
  request_data: Buffer;
  timeout_ms: number;
  max_attempts: number;
  requested_by: string;
  token_id: string;
  session_id: string | null;
  idempotency_key: string | null;
  ttl_s: number;
  expires_at: Date;
}

/** A request on its way to the vehicle. */
export interface SentRequest extends NewRequest {
  attempts: number;
  approved_by: string | null;
  created_at: Date;
}

/** Identifies a request in what is said about it. */
export interface RequestName {
  request_id: string;
  vin: string;
  ecu_id: string | null;
}

const revised = sql<string>`nextval('diagnostic_request_revision')`;
const name = ["request_id", "vin", "ecu_id"] as const;

/**
 * Stores a request; as sent when it leaves in this very moment.
 * @returns when it was made, or undefined when there is one with its idempotency key
 */
export async function insertRequest(
  db: Db,
  request: NewRequest,
  status: "awaiting_approval" | "queued" | "sent",
): Promise<Date | undefined> {
  const isSent = status === "sent";
  const row = await db
    .insertInto("diagnostic_request")
    .values({
      ...request,
      status,
      attempts: isSent ? 1 : 0,
      sent_at: isSent ? sql<Date>`now()` : null,
    })
    .onConflict((conflict) =>
      conflict
        .columns(["requested_by", "idempotency_key"])
        .where("idempotency_key", "is not", null)
        .doNothing(),
    )
    .returning("created_at")
    .executeTakeFirst();
  return row?.created_at;
}

/** The request that an operator has made with this key. */
export async function requestByKey(
  db: Db,
  requestedBy: string,
  key: string,
): Promise<(RequestName & Pick<NewRequest, "zone_id" | "request_data">) | undefined> {
  return db
    .selectFrom("diagnostic_request")
    .select([...name, "zone_id", "request_data"])
    .where("requested_by", "=", requestedBy)
    .where("idempotency_key", "=", key)
    .executeTakeFirst();
}

/** Takes requests that wait for a vehicle, oldest first, and notes that they are sent. */
export async function claimRequests(db: Db, vin: string, limit: number): Promise<SentRequest[]> {
  const rows = await db
    .updateTable("diagnostic_request")
    .set({
      status: "sent",
      attempts: sql<number>`attempts + 1`,
      sent_at: sql<Date>`now()`,
      revision: revised,
    })
    .where("request_id", "in", (due) =>
      due
        .selectFrom("diagnostic_request")
        .select("request_id")
        .where("vin", "=", vin)
        .where("status", "=", "queued")
        .where("expires_at", ">", sql<Date>`now()`)
        .orderBy("request_id")
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returningAll()
    .execute();
  return rows
    .map(({ token_id, ...row }) => ({ ...row, token_id: token_id ?? "" }))
    .sort((a, b) => (a.request_id < b.request_id ? -1 : 1));
}

/** Puts a request back that could not be sent after all. @returns false when it has ended */
export async function requeueRequest(db: Db, requestId: string): Promise<boolean> {
  return move(db, requestId, ["sent"], {
    status: "queued",
    attempts: sql<number>`attempts - 1`,
    sent_at: null,
  });
}

/** Notes another attempt before it is made. @returns false when the request has ended meanwhile */
export async function noteAttempt(db: Db, requestId: string, attempt: number): Promise<boolean> {
  return move(db, requestId, ["sent", "pending"], { status: "sent", attempts: attempt });
}

/** Lets a request go that was waiting for an approval. @returns false when it has ended meanwhile */
export async function releaseRequest(
  db: Db,
  requestId: string,
  approvedBy: string,
): Promise<boolean> {
  return move(db, requestId, ["awaiting_approval"], {
    status: "queued",
    approved_by: approvedBy,
    // A moment at the least: "now or never" is from now on.
    expires_at: sql<Date>`now() + greatest(ttl_s, 10) * interval '1 second'`,
  });
}

/**
 * The vehicle has the ECU's word (78) that the answer will come.
 * @returns undefined when the vehicle has no such request that was sent
 */
export async function notePending(
  db: Db,
  vin: string,
  requestId: string,
): Promise<RequestName | undefined> {
  return db
    .updateTable("diagnostic_request")
    .set({ status: "pending", revision: revised })
    .where("request_id", "=", requestId)
    .where("vin", "=", vin)
    .where("status", "=", "sent")
    .returning(name)
    .executeTakeFirst();
}

async function move(
  db: Db,
  requestId: string,
  from: DiagnosticStatus[],
  to: object,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("diagnostic_request")
    .set({ ...to, revision: revised })
    .where("request_id", "=", requestId)
    .where("status", "in", from)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export interface End {
  status: DiagnosticStatus;
  responses: RawResponse[];
  error?: DiagnosticError | undefined;
  interlock?: Interlock | undefined;
  hops?: Hops | undefined;
}

/**
 * Ends a request; the first end counts, but an answer that comes after the gateway has given up
 * waiting is the better one.
 * @returns false when it had ended, or is another vehicle's
 */
export async function finishRequest(
  db: Db,
  { vin, request_id }: { vin: string; request_id: string },
  end: End,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("diagnostic_request")
    .set({ ...asColumns(end), completed_at: sql<Date>`now()`, revision: revised })
    .where("request_id", "=", request_id)
    .where("vin", "=", vin)
    .where((where) =>
      end.responses.length > 0 ? awaitsAnswer(where) : where("completed_at", "is", null),
    )
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

function asColumns({ status, responses, error, interlock, hops }: End) {
  return {
    status,
    responses: JSON.stringify(responses),
    error: error ? JSON.stringify(error) : null,
    interlock: interlock ?? null,
    hops: hops ? JSON.stringify(hops) : null,
  };
}

/** Open, or given up although the vehicle may still know. */
function awaitsAnswer(where: ExpressionBuilder<Tables, "diagnostic_request">) {
  return where.or([
    where("completed_at", "is", null),
    where.and([
      where("status", "in", ["timeout", "expired"]),
      where("attempts", ">", 0),
      sql<boolean>`error ->> 'code' in ('VEHICLE_TIMEOUT', 'GATEWAY_RESTARTED')`,
    ]),
  ]);
}

/** What an answer has to be held against; undefined when the vehicle has no request that waits. */
export async function awaitedRequest(
  db: Db,
  vin: string,
  requestId: string,
): Promise<
  | Pick<SentRequest, "ecu_id" | "attempts" | "max_attempts" | "request_data" | "requested_by">
  | undefined
> {
  return db
    .selectFrom("diagnostic_request")
    .select(["ecu_id", "attempts", "max_attempts", "request_data", "requested_by"])
    .where("request_id", "=", requestId)
    .where("vin", "=", vin)
    .where(awaitsAnswer)
    .executeTakeFirst();
}

/** Ends requests whose time is over, or that a gateway was waiting for when it stopped. */
export async function expireRequests(db: Db): Promise<RequestName[]> {
  const overdue = { code: "REQUEST_EXPIRED", message: "its time was over before it could be sent" };
  const orphaned = { code: "GATEWAY_RESTARTED", message: "the gateway stopped while it waited" };
  const waited = await db
    .updateTable("diagnostic_request")
    .set({ ...ended("expired", overdue) })
    .where("completed_at", "is", null)
    .where("status", "in", ["queued", "awaiting_approval"])
    .where("expires_at", "<=", sql<Date>`now()`)
    .returning(name)
    .execute();
  const lost = await db
    .updateTable("diagnostic_request")
    .set({ ...ended("expired", orphaned) })
    .where("completed_at", "is", null)
    .where("status", "in", ["sent", "pending"])
    // Twice what all attempts may take: whoever waits for it has given up long ago.
    .where(
      sql<boolean>`coalesce(sent_at, created_at) < now() - 2 * max_attempts * timeout_ms * interval '1 millisecond'`,
    )
    .returning(name)
    .execute();
  return [...waited, ...lost];
}

/** Whose requests, and where to, as far as it is said. */
export interface Whose {
  vin?: string | undefined;
  requested_by?: string | undefined;
  token_id?: string | undefined;
  /** Made by then. */
  until?: Date | undefined;
}

/** Ends requests that have not been sent. */
export async function endUnsent(
  db: Db,
  { vin, requested_by, token_id, until }: Whose,
  status: "denied" | "cancelled",
  error: DiagnosticError,
): Promise<RequestName[]> {
  let update = db
    .updateTable("diagnostic_request")
    .set(ended(status, error))
    .where("status", "in", ["queued", "awaiting_approval"])
    // What has ended is by far the most, and has no place in the index.
    .where("completed_at", "is", null);
  if (vin !== undefined) update = update.where("vin", "=", vin);
  if (requested_by !== undefined) update = update.where("requested_by", "=", requested_by);
  if (token_id !== undefined) update = update.where("token_id", "=", token_id);
  if (until !== undefined) update = update.where("created_at", "<=", until);
  return update.returning(name).execute();
}

/** Ends one that has not been sent. @returns false when it has, or has ended */
export async function endUnsentRequest(
  db: Db,
  requestId: string,
  status: "denied" | "cancelled",
  error: DiagnosticError,
): Promise<boolean> {
  return move(db, requestId, ["queued", "awaiting_approval"], ended(status, error));
}

function ended(status: DiagnosticStatus, error: DiagnosticError) {
  return {
    status,
    error: JSON.stringify(error),
    completed_at: sql<Date>`now()`,
    revision: revised,
  };
}

/** The number of the last change of any request; 0 where there is none. */
export async function lastRevision(db: Db): Promise<bigint> {
  const row = await db
    .selectFrom("diagnostic_request")
    .select("revision")
    .orderBy("revision", "desc")
    .limit(1)
    .executeTakeFirst();
  return BigInt(row?.revision ?? 0);
}

/** Requests that have changed after `revision`, in the order of their last change. */
export async function requestsChangedAfter(
  db: Db,
  revision: bigint,
  limit: number,
): Promise<(RequestName & { status: DiagnosticStatus; revision: string })[]> {
  return db
    .selectFrom("diagnostic_request")
    .select([...name, "status", "revision"])
    .where("revision", ">", String(revision))
    .orderBy("revision")
    .limit(limit)
    .execute();
}

/** Where a request stands. */
export async function requestById(
  db: Db,
  requestId: string,
): Promise<(RequestName & { status: DiagnosticStatus; requested_by: string }) | undefined> {
  return db
    .selectFrom("diagnostic_request")
    .select([...name, "status", "requested_by"])
    .where("request_id", "=", requestId)
    .executeTakeFirst();
}
