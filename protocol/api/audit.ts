import { createHash } from "node:crypto";
import Type, { type Static } from "typebox";
import { jcs } from "#protocol/bytes/jcs.ts";
import { Sha256, Timestamp } from "./identifier.ts";

const closed = { additionalProperties: false } as const;
const OrNull = (maxLength: number, description: string) =>
  Type.Union([Type.String({ maxLength }), Type.Null()], { description });
const Bytes = Type.Union([Type.String({ pattern: "^([0-9A-F]{2})*$" }), Type.Null()], {
  description: "UDS bytes, upper-case hex",
  examples: ["22F190"],
});

/** The longest texts of an entry, in UTF-16 units; what is longer is cut before it is entered. */
export const auditLimits = { actor: 128, action: 64, vin: 64, ecu_id: 64, subject: 64 } as const;

/** An entry of the audit log, as it is exported. Closed: a member that no hash covers is none. */
export const AuditEntry = Type.Object(
  {
    seq: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    at: Timestamp,
    actor: Type.String({
      maxLength: auditLimits.actor,
      description: "operator:NAME, vehicle:VIN or gateway",
    }),
    action: Type.String({ maxLength: auditLimits.action, examples: ["diagnostics.request"] }),
    vin: OrNull(auditLimits.vin, "The vehicle it is about"),
    ecu_id: OrNull(auditLimits.ecu_id, "The ECU it is about"),
    subject: OrNull(auditLimits.subject, "Id of the request, session, script, rule it is about"),
    request: Bytes,
    response: Bytes,
    detail: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()]),
    prev_hash: Sha256,
    hash: Sha256,
  },
  closed,
);
export type AuditEntry = Static<typeof AuditEntry>;

/** The last entry of a log, or of a part of it. */
export const AuditHead = Type.Object(
  { seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), hash: Sha256 },
  closed,
);
export type AuditHead = Static<typeof AuditHead>;

/** What the first entry follows. */
export const AUDIT_START: AuditHead = { seq: 0, hash: "0".repeat(64) };

/**
 * The hash of an entry: SHA-256 over the 32 bytes of the hash before it, then the entry without
 * `prev_hash` and `hash` in the form of RFC 8785, UTF-8. Lower-case hex.
 */
export function auditHash(
  prevHash: string,
  content: Omit<AuditEntry, "prev_hash" | "hash">,
): string {
  return createHash("sha256").update(prevHash, "hex").update(jcs(content)).digest("hex");
}
