import { sql, type RawBuilder, type Selectable } from "kysely";
import { AUDIT_START, auditHash, type AuditEntry, type AuditHead } from "#protocol/api/audit.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { AuditEntryTable } from "./table.ts";

/** An entry before it has its place in the chain. */
export interface UnchainedEntry {
  /** To the millisecond, as it is hashed. */
  at: Date;
  actor: string;
  action: string;
  vin: string | null;
  ecu_id: string | null;
  subject: string | null;
  request: Buffer | null;
  response: Buffer | null;
  /** As `JSON.parse` gives it. */
  detail: Record<string, unknown> | null;
}

/** The lock of whoever appends. */
const appending = sql<number>`hashtextextended('audit log', 0)`;

/**
 * Appends entries to the chain. From here to the end of the transaction no other gateway appends:
 * make it the transaction's last step.
 * @returns the chain's new end
 */
export async function insertEntries(
  tx: Tx,
  entries: readonly UnchainedEntry[],
): Promise<AuditHead> {
  // A statement of its own: what follows must see what was committed while this one waited.
  await sql`select pg_advisory_xact_lock(${appending})`.execute(tx);
  const { rows, head } = chain(await auditHead(tx), entries);
  await insertion(rows, sql`true`).execute(tx);
  return head;
}

/**
 * Appends entries behind what the caller takes for the chain's end, in a single statement.
 * @returns the new end, or undefined when somebody else appends right now, or the chain ends
 * elsewhere by now: nothing is stored then
 */
export async function insertEntriesAfter(
  db: Db,
  end: AuditHead,
  entries: readonly UnchainedEntry[],
): Promise<AuditHead | undefined> {
  const { rows, head } = chain(end, entries);
  try {
    // Not without the lock: a transaction that has it counts on the end that it has seen.
    const isMine = sql`(select pg_try_advisory_xact_lock(${appending}))`;
    const { numAffectedRows } = await insertion(rows, isMine).execute(db);
    return numAffectedRows === BigInt(rows.length) ? head : undefined;
  } catch (error) {
    if ((error as { code?: unknown }).code === UNIQUE_VIOLATION) return undefined;
    throw error;
  }
}

/** Two entries can't have the same number, nor follow the same one. */
const UNIQUE_VIOLATION = "23505";

type ChainedEntry = UnchainedEntry & Record<"prev_hash" | "hash", string> & { seq: number };

function chain(end: AuditHead, entries: readonly UnchainedEntry[]) {
  let head = end;
  const rows = entries.map((entry): ChainedEntry => {
    const seq = head.seq + 1;
    const prev_hash = head.hash;
    const hash = auditHash(prev_hash, contentOf({ ...entry, seq }));
    head = { seq, hash };
    return { ...entry, seq, prev_hash, hash };
  });
  return { rows, head };
}

/** Stores the rows, if the condition holds. */
function insertion(rows: readonly ChainedEntry[], condition: RawBuilder<unknown>) {
  const json = JSON.stringify(
    rows.map((row) => ({
      ...row,
      request: row.request && bytea(row.request),
      response: row.response && bytea(row.response),
      prev_hash: bytea(Buffer.from(row.prev_hash, "hex")),
      hash: bytea(Buffer.from(row.hash, "hex")),
    })),
  );
  return sql`insert into audit_entry
    select * from json_populate_recordset(null::audit_entry, ${json}) where ${condition}`;
}

/** As PostgreSQL reads it from text. */
function bytea(bytes: Buffer): string {
  return `\\x${bytes.toString("hex")}`;
}

/** The last entry. */
export async function auditHead(db: Db): Promise<AuditHead> {
  const row = await db
    .selectFrom("audit_entry")
    .select(["seq", "hash"])
    .orderBy("seq", "desc")
    .limit(1)
    .executeTakeFirst();
  return row ? { seq: row.seq, hash: row.hash.toString("hex") } : AUDIT_START;
}

function asEntry(row: Selectable<AuditEntryTable>): AuditEntry {
  return {
    ...contentOf(row),
    prev_hash: row.prev_hash.toString("hex"),
    hash: row.hash.toString("hex"),
  };
}

/** What of an entry is hashed, as everybody sees it. */
function contentOf(
  entry: UnchainedEntry & { seq: number },
): Omit<AuditEntry, "prev_hash" | "hash"> {
  const { seq, at, actor, action, vin, ecu_id, subject, request, response, detail } = entry;
  return {
    seq,
    at: at.toISOString(),
    actor,
    action,
    vin,
    ecu_id,
    subject,
    request: request && toHex(request),
    response: response && toHex(response),
    detail,
  };
}

export interface AuditFilter {
  vin?: string | undefined;
  ecu_id?: string | undefined;
  actor?: string | undefined;
  action?: string | undefined;
  subject?: string | undefined;
  /** From this time on. */
  from?: Date | undefined;
  /** Before this time. */
  to?: Date | undefined;
}

/** Entries, newest first, from behind `cursor` on. */
export async function listEntries(
  db: Db,
  {
    limit,
    cursor,
    from,
    to,
    ...equal
  }: AuditFilter & { limit: number; cursor?: number | undefined },
): Promise<AuditEntry[]> {
  let query = db.selectFrom("audit_entry").selectAll().orderBy("seq", "desc").limit(limit);
  if (cursor !== undefined) query = query.where("seq", "<", cursor);
  for (const column of ["vin", "ecu_id", "actor", "action", "subject"] as const) {
    const value = equal[column];
    if (value !== undefined) query = query.where(column, "=", value);
  }
  if (from !== undefined) query = query.where("at", ">=", from);
  if (to !== undefined) query = query.where("at", "<", to);
  return (await query.execute()).map(asEntry);
}

/** Which exchanges with a vehicle. */
export type ExchangeFilter = Pick<AuditFilter, "ecu_id" | "from" | "to"> & { vin: string };

/** Entries that have UDS bytes, oldest first, from behind `after` on. */
export async function exchangesAfter(
  db: Db,
  { vin, ecu_id, from, to }: ExchangeFilter,
  after: number,
  limit: number,
): Promise<AuditEntry[]> {
  let query = db
    .selectFrom("audit_entry")
    .selectAll()
    .where("vin", "=", vin)
    .where("seq", ">", after)
    .where((where) =>
      where.or([where("request", "is not", null), where("response", "is not", null)]),
    )
    // What was refused was never said to the vehicle.
    .where("action", "not in", ["diagnostics.denied", "diagnostics.cancelled"])
    // That a proof was given; the vehicle's own entry of that step has the request again.
    .where((where) => where.not(where.and({ actor: "gateway", action: "script.step" })))
    .orderBy("seq")
    .limit(limit);
  if (ecu_id !== undefined) query = query.where("ecu_id", "=", ecu_id);
  if (from !== undefined) query = query.where("at", ">=", from);
  if (to !== undefined) query = query.where("at", "<", to);
  return (await query.execute()).map(asEntry);
}

/** Entries in the order of the chain, from behind `after` on. */
export async function entriesAfter(
  db: Db,
  { after, limit }: { after: number; limit: number },
): Promise<AuditEntry[]> {
  const rows = await db
    .selectFrom("audit_entry")
    .selectAll()
    .where("seq", ">", after)
    .orderBy("seq")
    .limit(limit)
    .execute();
  return rows.map(asEntry);
}
