import { auditLimits, type AuditHead } from "#protocol/api/audit.ts";
import { createBatcher } from "#server/database/batch.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { insertEntries, insertEntriesAfter, type UnchainedEntry } from "./queries.ts";

export interface NewAuditEntry {
  /** `operator:NAME`, `vehicle:VIN` or `gateway`. */
  actor: string;
  /** `diagnostics.request`, `session.opened`, … */
  action: string;
  vin?: string | undefined;
  ecu_id?: string | undefined;
  /** Id of the request, session, script, approval or rule. */
  subject?: string | undefined;
  /** UDS bytes. */
  request?: Uint8Array | undefined;
  response?: Uint8Array | undefined;
  /** JSON; a member that is undefined is left out. */
  detail?: Record<string, unknown> | undefined;
}

export interface AuditLog {
  /**
   * Resolves when the entry is committed. It goes by a connection of its own: never wait for it
   * within a transaction, there {@link appendEntry} is for.
   * @throws RangeError for a detail that is over its limit or that no database text can hold
   */
  append(entry: NewAuditEntry): Promise<void>;
}

export interface AuditLogDeps {
  db: Db;
  now?: () => Date;
}

/** One insert of so many rows stays far below the 65535 parameters that the protocol has. */
const MAX_BATCH = 500;
const MAX_DETAIL_CHARS = 262_144;

/** The chain of entries; many gateways may append to one. */
export function createAuditLog({ db, now = () => new Date() }: AuditLogDeps): AuditLog {
  /** Where the chain ended when this gateway last appended; another one may have gone on. */
  let end: AuditHead | undefined;
  const batcher = createBatcher<UnchainedEntry>({
    maxItems: MAX_BATCH,
    async flush(batch) {
      end =
        (end && (await insertEntriesAfter(db, end, batch))) ??
        (await db.transaction().execute((tx) => insertEntries(tx, batch)));
    },
  });
  return {
    // Looked at before it joins a batch: a bad one must not take the others with it.
    append: async (entry) => batcher.push(unchained(entry, now())),
  };
}

/**
 * Appends one entry in a transaction, with what it tells of. Other gateways wait from here to its
 * end: the transaction's last step.
 * @throws RangeError as above
 */
export async function appendEntry(
  tx: Tx,
  entry: NewAuditEntry,
  now: Date = new Date(),
): Promise<void> {
  await insertEntries(tx, [unchained(entry, now)]);
}

function unchained(entry: NewAuditEntry, at: Date): UnchainedEntry {
  return {
    at,
    actor: text("actor", entry.actor),
    action: text("action", entry.action),
    vin: entry.vin === undefined ? null : text("vin", entry.vin),
    ecu_id: entry.ecu_id === undefined ? null : text("ecu_id", entry.ecu_id),
    subject: entry.subject === undefined ? null : text("subject", entry.subject),
    request: entry.request ? Buffer.from(entry.request) : null,
    response: entry.response ? Buffer.from(entry.response) : null,
    detail: entry.detail ? storable(entry.detail) : null,
  };
}

/** As the database keeps it: what it would change, or refuse, would not fit the hash. */
function text(name: keyof typeof auditLimits, value: string): string {
  return value.slice(0, auditLimits[name]).toWellFormed().replaceAll("\0", "\uFFFD");
}

const UNSTORABLE = /\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** As it is read again, so that the hash holds. */
function storable(detail: Record<string, unknown>): Record<string, unknown> {
  const json = JSON.stringify(detail);
  if (json.length > MAX_DETAIL_CHARS || UNSTORABLE.test(json.replaceAll("\\\\", ""))) {
    throw new RangeError("the detail of an audit entry is too long or holds no database text");
  }
  return JSON.parse(json) as Record<string, unknown>;
}
