import { sql, type RawBuilder } from "kysely";
import type { Event } from "#protocol/api/event.ts";
import type { Db } from "#server/database/connection.ts";

/** Where an event stands: by the transaction that has told of it, and its number. */
export interface Position {
  txid: string;
  event_id: number;
}

export const START: Position = { txid: "0", event_id: 0 };

/** @param id as {@link Event} has it */
export function positionOf(id: string): Position {
  const [txid = "0", event_id = "0"] = id.split("-");
  return { txid: String(BigInt(txid)), event_id: Number(event_id) };
}

export function eventId({ txid, event_id }: Position): string {
  return `${txid}-${event_id}`;
}

export interface EventFilter {
  kind?: string | undefined;
  vin?: string | undefined;
  subject?: string | undefined;
}

/**
 * Transactions commit in another order than they begin. What those below have told is all there, so
 * whoever has read so far misses nothing.
 */
export const settled = sql`txid < pg_snapshot_xmin(pg_current_snapshot())`;

/** The last event that is handed out, if there is one. */
export async function lastPosition(db: Db): Promise<Position> {
  const { rows } = await sql<Position>`
    select txid, event_id from event where ${settled}
    order by txid desc, event_id desc limit 1`.execute(db);
  return rows[0] ?? START;
}

/** Events behind `after`, up to and with `last`, in their order. */
export async function eventsAfter(
  db: Db,
  filter: EventFilter,
  { after, last, limit }: { after: Position; last?: Position | undefined; limit: number },
): Promise<Event[]> {
  const upTo = last ? sql`and (txid, event_id) <= ${position(last)}` : sql``;
  return select(
    db,
    sql`(txid, event_id) > ${position(after)} ${upTo} and ${settled} ${matching(filter)}
    order by txid, event_id limit ${limit}`,
  );
}

/** Events before `before`, or all, newest first. */
export async function eventsBefore(
  db: Db,
  filter: EventFilter,
  { before, limit }: { before: Position | undefined; limit: number },
): Promise<Event[]> {
  const from = before ? sql`and (txid, event_id) < ${position(before)}` : sql``;
  return select(
    db,
    sql`${settled} ${from} ${matching(filter)} order by txid desc, event_id desc limit ${limit}`,
  );
}

function position({ txid, event_id }: Position): RawBuilder<unknown> {
  return sql`(${txid}::xid8, ${event_id}::bigint)`;
}

function matching({ kind, vin, subject }: EventFilter): RawBuilder<unknown> {
  const conditions = Object.entries({ kind, vin, subject }).flatMap(([column, value]) =>
    value === undefined ? [] : [sql`and ${sql.ref(column)} = ${value}`],
  );
  return sql.join(conditions, sql` `);
}

async function select(db: Db, rest: RawBuilder<unknown>): Promise<Event[]> {
  const { rows } = await sql<Omit<Event, "id" | "at"> & Position & { at: Date }>`
    select txid, event_id, at, kind, vin, subject, data from event where ${rest}`.execute(db);
  return rows.map(({ txid, event_id, at, kind, vin, subject, data }) => ({
    id: eventId({ txid, event_id }),
    kind,
    at: at.toISOString(),
    vin,
    subject,
    data,
  }));
}
