import { Compile } from "typebox/compile";
import { AuditEntry, auditHash, AUDIT_START, type AuditHead } from "#protocol/api/audit.ts";
import { jcs } from "#protocol/bytes/jcs.ts";

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
 * @throws AuditFault for the first entry that does not fit
 */
export async function verifyAudit(
  exported: AsyncIterable<Buffer>,
  anchors: readonly AuditHead[],
): Promise<AuditVerdict> {
  let head = AUDIT_START;
  let first: string | undefined;
  let last: string | undefined;
  hold(head, anchors);
  for await (const line of linesOf(exported)) {
    const entry = follow(head, line);
    head = { seq: entry.seq, hash: entry.hash };
    hold(head, anchors);
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
  const entry = parse(line);
  // More than the hash covers, a member twice, another order: two readers would see two things.
  if (!auditEntry.Check(entry) || !Buffer.from(jcs(entry)).equals(line)) {
    throw new AuditFault(
      "AUDIT_LINE_MALFORMED",
      `${place}: the line is no entry as it is exported`,
    );
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

function parse(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** Far more than the longest entry has. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;

/** Lines without their end. @throws AuditFault for one that is too long, or has no end */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let begun: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      yield Buffer.concat([...begun, rest.subarray(0, end)]);
      rest = rest.subarray(end + 1);
      begun = [];
      length = 0;
    }
    begun.push(rest);
    length += rest.length;
    if (length > MAX_LINE_BYTES) {
      throw new AuditFault("AUDIT_LINE_MALFORMED", "a line is longer than any entry");
    }
  }
  if (length > 0) throw new AuditFault("AUDIT_LINE_MALFORMED", "the last line is cut off");
}
