import { sql, type Selectable } from "kysely";
import type {
  DiagnosticSession,
  SessionEndReason,
  SessionStatus,
} from "#protocol/api/diagnostic-session.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";
import { decodeExchange } from "#protocol/uds/decode.ts";
import type { Role } from "#server/http/access.ts";
import type { Db } from "#server/database/connection.ts";
import { sessionRequest, statusesBefore } from "./session.ts";
import type { DiagnosticSessionTable } from "./table.ts";

/** A session that keeps an ECU for its operator. */
export interface SessionLock {
  ecu_id: string;
  session_id: string;
  operator: string;
}

/** The sessions that keep ECUs of a vehicle, all of them or some. */
export async function sessionLocks(
  db: Db,
  vin: string,
  ecuIds?: readonly string[],
): Promise<SessionLock[]> {
  if (ecuIds?.length === 0) return [];
  let query = db
    .selectFrom("diagnostic_session")
    .select(["ecu_id", "session_id", "operator"])
    .where("vin", "=", vin)
    .where("status", "in", ["opening", "open"]);
  if (ecuIds !== undefined) query = query.where("ecu_id", "in", ecuIds);
  return query.execute();
}

export type SessionRow = Selectable<DiagnosticSessionTable>;

export interface NewSession {
  session_id: string;
  vin: string;
  ecu_id: string;
  uds_session: number;
  status: "awaiting_approval" | "opening";
  operator: string;
  role: Role;
  token_id: string;
  reason: string | null;
  max_s: number;
  takes_over: string | null;
  expires_at: Date;
}

/** @returns undefined when another session keeps the ECU */
export async function insertSession(db: Db, session: NewSession): Promise<SessionRow | undefined> {
  return db
    .insertInto("diagnostic_session")
    .values({ ...session, asked_at: session.status === "opening" ? sql<Date>`now()` : null })
    .onConflict((conflict) =>
      conflict
        .columns(["vin", "ecu_id"])
        .where("status", "in", sql<SessionStatus>`('opening', 'open')`)
        .doNothing(),
    )
    .returningAll()
    .executeTakeFirst();
}

/**
 * Lets an approved session take its ECU.
 * @returns undefined when it does not wait for that any longer
 * @throws the database's unique violation when another session keeps the ECU
 */
export async function beginOpening(
  db: Db,
  sessionId: string,
  expiresAt: Date,
): Promise<SessionRow | undefined> {
  return db
    .updateTable("diagnostic_session")
    .set({
      status: "opening",
      asked_at: sql<Date>`now()`,
      changed_at: sql<Date>`now()`,
      expires_at: expiresAt,
    })
    .where("session_id", "=", sessionId)
    .where("status", "in", statusesBefore({ type: "approved" }))
    .returningAll()
    .executeTakeFirst();
}

/** Notes the ECU's answer. @returns undefined when the session is not being opened */
export async function noteOpened(
  db: Db,
  vin: string,
  sessionId: string,
  response: Buffer,
): Promise<SessionRow | undefined> {
  return db
    .updateTable("diagnostic_session")
    .set({ status: "open", response, opened_at: sql<Date>`now()`, changed_at: sql<Date>`now()` })
    .where("session_id", "=", sessionId)
    .where("vin", "=", vin)
    .where("status", "in", statusesBefore({ type: "opened" }))
    .returningAll()
    .executeTakeFirst();
}

export interface SessionEnding {
  reason: SessionEndReason;
  by: string;
  response?: Buffer | undefined;
  interlock?: Interlock | undefined;
  error?: { code: string; message: string } | undefined;
}

/** Which sessions; all that is named holds, and an empty choice is every one. */
export interface SessionChoice {
  session_id?: string | undefined;
  vin?: string | undefined;
  operator?: string | undefined;
  token_id?: string | undefined;
  /** Made by then. */
  until?: Date | undefined;
  /** Of these statuses only. */
  statuses?: readonly SessionStatus[] | undefined;
}

/** Ends those of the choice that can end so. @returns them */
export async function endSessions(
  db: Db,
  choice: SessionChoice,
  { reason, by, response, interlock, error }: SessionEnding,
): Promise<SessionRow[]> {
  const possible = statusesBefore({ type: "end", reason });
  const { statuses = possible } = choice;
  let query = db
    .updateTable("diagnostic_session")
    .set({
      status: "ended",
      end_reason: reason,
      ended_by: by,
      ended_at: sql<Date>`now()`,
      changed_at: sql<Date>`now()`,
      ...(response && { response }),
      ...(interlock && { interlock }),
      ...(error && { error: JSON.stringify(error) }),
    })
    .where(
      "status",
      "in",
      possible.filter((status) => statuses.includes(status)),
    )
    // What has ended is by far the most, and has no place in the index.
    .where("ended_at", "is", null)
    .returningAll();
  if (choice.session_id !== undefined) query = query.where("session_id", "=", choice.session_id);
  if (choice.vin !== undefined) query = query.where("vin", "=", choice.vin);
  if (choice.operator !== undefined) query = query.where("operator", "=", choice.operator);
  if (choice.token_id !== undefined) query = query.where("token_id", "=", choice.token_id);
  if (choice.until !== undefined) query = query.where("created_at", "<=", choice.until);
  return query.execute();
}

/** What a vehicle that has come back is to be told: what it has, and what ended within `lease_s`. */
export async function sessionsToSettle(db: Db, vin: string, leaseS: number): Promise<SessionRow[]> {
  return (
    db
      .selectFrom("diagnostic_session")
      .selectAll()
      .where("vin", "=", vin)
      .where((where) =>
        where.or([
          where("status", "in", ["opening", "open"]),
          where.and([
            where("ended_at", ">", sql<Date>`now() - ${leaseS} * interval '1 second'`),
            where("asked_at", "is not", null),
          ]),
        ]),
      )
      // What has ended is closed before what is open is renewed.
      .orderBy("session_id")
      .execute()
  );
}

/** Sessions that have ended since then, in so many milliseconds at most, and that a vehicle knows of. */
export async function sessionsEndedSince(
  db: Db,
  since: Date,
  maxAgeMs: number,
): Promise<SessionRow[]> {
  return db
    .selectFrom("diagnostic_session")
    .selectAll()
    .where("status", "=", "ended")
    .where("asked_at", "is not", null)
    .where("changed_at", ">", since)
    .where("changed_at", ">", sql<Date>`now() - ${maxAgeMs} * interval '1 millisecond'`)
    .execute();
}

/** Sessions whose time is over, that were not answered, or whose token or vehicle has gone. */
export async function sessionsOverdue(
  db: Db,
  openingS: number,
): Promise<
  {
    session_id: string;
    reason: "time_over" | "refused" | "lease_expired" | "operator_revoked";
  }[]
> {
  const { rows } = await sql<Awaited<ReturnType<typeof sessionsOverdue>>[number]>`
    select session_id, reason from (
      select session_id, case
        when session.expires_at <= now() then 'time_over'
        when token.token_id is null then 'operator_revoked'
        when session.status = 'opening'
          and changed_at < now() - ${openingS} * interval '1 second' then 'refused'
        when session.status <> 'awaiting_approval' and vehicle.status = 'offline'
          then 'lease_expired'
      end as reason
      from diagnostic_session as session
      join vehicle using (vin)
      left join operator_token as token on token.token_id = session.token_id
        and token.revoked_at is null
        and (token.expires_at is null or token.expires_at > now())
      where ended_at is null
    ) as open
    where reason is not null
    limit 1000
  `.execute(db);
  return rows;
}

export async function sessionById(db: Db, sessionId: string): Promise<SessionRow | undefined> {
  return db
    .selectFrom("diagnostic_session")
    .selectAll()
    .where("session_id", "=", sessionId)
    .executeTakeFirst();
}

export interface SessionFilter {
  limit: number;
  cursor?: string | undefined;
  vin?: string | undefined;
  ecu_id?: string | undefined;
  operator?: string | undefined;
  status?: SessionStatus | undefined;
}

/** Sessions, newest first, from behind `cursor` on. */
export async function listSessions(db: Db, filter: SessionFilter): Promise<DiagnosticSession[]> {
  let query = db
    .selectFrom("diagnostic_session")
    .selectAll()
    .orderBy("session_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("session_id", "<", filter.cursor);
  if (filter.vin !== undefined) query = query.where("vin", "=", filter.vin);
  if (filter.ecu_id !== undefined) query = query.where("ecu_id", "=", filter.ecu_id);
  if (filter.operator !== undefined) query = query.where("operator", "=", filter.operator);
  if (filter.status !== undefined) query = query.where("status", "=", filter.status);
  return (await query.execute()).map(asSession);
}

export function asSession(row: SessionRow): DiagnosticSession {
  const request = sessionRequest(row.uds_session);
  const at = (time: Date | null) => time?.toISOString() ?? null;
  return {
    session_id: row.session_id,
    vin: row.vin,
    ecu_id: row.ecu_id,
    uds_session: toHex(Uint8Array.of(row.uds_session)),
    status: row.status,
    operator: row.operator,
    reason: row.reason,
    max_s: row.max_s,
    response_data: row.response && toHex(row.response),
    response_decoded: row.response && decodeExchange(request, row.response),
    end_reason: row.end_reason,
    ended_by: row.ended_by,
    interlock: row.interlock,
    error: row.error,
    created_at: row.created_at.toISOString(),
    opened_at: at(row.opened_at),
    expires_at: row.expires_at.toISOString(),
    ended_at: at(row.ended_at),
  };
}
