import { Compile } from "typebox/compile";
import { AuditEntry, auditHash, AUDIT_START, type AuditHead } from "#protocol/api/audit.ts";
import { jcs } from "#protocol/bytes/jcs.ts";
import { linesOf, parseLine } from "./lines.ts";

export type AuditFaultCode =
  | "AUDIT_LINE_MALFORMED"
  | "AUDIT_SEQUENCE_BROKEN"
  | "AUDIT_ENTRY_ALTERED"
  | "AUDIT_ANCHOR_DIFFERS"
  | "AUDIT_ANCHOR_MISSED";

/** The first place where an audit log is not what it was. */
export class AuditFault extends Error {
  readonly code: AuditFaultCode;

  constructor(code: AuditFaultCode, message: string) {
    super(message);
    this.name = "AuditFault";
    this.code = code;
  }
}

export interface AuditVerdict {
  head: AuditHead;
  /** Times of the first and the last entry; undefined when there is none. */
  first: string | undefined;
  last: string | undefined;
}

const auditEntry = Compile(AuditEntry);

/**
 * Computes a whole exported log anew, an entry at a time.
 * @param anchors heads that the log had before: without one, entries missing at the end, or a log
 *   that was written anew as a whole, would not show
 * @param onEntry is given each entry that fits
 * @throws AuditFault for the first entry that does not fit
 */
export async function verifyAudit(
  exported: AsyncIterable<Buffer>,
  anchors: readonly AuditHead[],
  onEntry?: (entry: AuditEntry) => void,
): Promise<AuditVerdict> {
  let head = AUDIT_START;
  let first: string | undefined;
  let last: string | undefined;
  hold(head, anchors);
  for await (const line of linesOf(exported, malformed)) {
    const entry = follow(head, line);
    head = { seq: entry.seq, hash: entry.hash };
    hold(head, anchors);
    onEntry?.(entry);
    first ??= entry.at;
    last = entry.at;
  }
  const missed = anchors.find(({ seq }) => seq > head.seq);
  if (missed !== undefined) {
    throw new AuditFault(
      "AUDIT_ANCHOR_MISSED",
      `the log ends with entry ${head.seq}; it had ${missed.seq} before`,
    );
  }
  return { head, first, last };
}

function follow(head: AuditHead, line: Buffer): AuditEntry {
  const place = `entry ${head.seq + 1}`;
  const entry = parseLine(line);
  // More than the hash covers, a member twice, another order: two readers would see two things.
  if (!auditEntry.Check(entry) || !Buffer.from(jcs(entry)).equals(line)) {
    throw malformed(`${place}: the line is no entry as it is exported`);
  }
  const { prev_hash, hash, ...content } = entry;
  if (entry.seq !== head.seq + 1) {
    throw new AuditFault(
      "AUDIT_SEQUENCE_BROKEN",
      `${place} is missing: entry ${entry.seq} is in its place`,
    );
  }
  if (prev_hash !== head.hash) {
    throw new AuditFault("AUDIT_ENTRY_ALTERED", `${place} does not follow the entry before it`);
  }
  if (auditHash(prev_hash, content) !== hash) {
    throw new AuditFault("AUDIT_ENTRY_ALTERED", `${place} is not what was hashed`);
  }
  return entry;
}

function hold({ seq, hash }: AuditHead, anchors: readonly AuditHead[]): void {
  if (anchors.some((anchor) => anchor.seq === seq && anchor.hash !== hash)) {
    throw new AuditFault("AUDIT_ANCHOR_DIFFERS", `entry ${seq} is another one than it was before`);
  }
}

function malformed(why: string): AuditFault {
  return new AuditFault("AUDIT_LINE_MALFORMED", why);
}
