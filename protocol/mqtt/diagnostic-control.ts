import Type, { type Static } from "typebox";
import { DiagnosticScript } from "./diagnostic-script.ts";
import { EcuId } from "./ecu-id.ts";
import { Instant } from "./instant.ts";
import { UdsHex } from "./uds-hex.ts";
import { Uuid } from "./uuid.ts";

const LeaseMs = Type.Integer({ minimum: 1000, maximum: 3_600_000 });
const kind = <const Name extends string>(name: Name) => Type.Literal(name);

/**
 * Gateway → VMG, on `diagnostics/control`. May arrive more than once: what has been done already is
 * reported again and not done again.
 */
export const DiagnosticControl = Type.Union([
  /**
   * Keeps the ECU for one person: enters the UDS session, keeps it up by tester present, and takes
   * requests with this `session_id` only. It ends by itself when it is not renewed within the lease,
   * or at `expires_at`.
   */
  Type.Object({
    kind: kind("open_session"),
    session_id: Uuid,
    ecu_id: EcuId,
    uds_session: Type.Integer({ minimum: 0x01, maximum: 0x7f }),
    lease_ms: LeaseMs,
    expires_at: Instant,
  }),
  Type.Object({ kind: kind("renew_session"), session_id: Uuid, lease_ms: LeaseMs }),
  Type.Object({ kind: kind("close_session"), session_id: Uuid }),
  /** Ends every session and script and gives up every request, at once. */
  Type.Object({ kind: kind("revoke"), reason: Type.String({ maxLength: 256 }) }),
  /** Gives up a request whose ECU has not been asked yet. */
  Type.Object({ kind: kind("cancel_request"), request_id: Uuid }),
  Type.Object({
    kind: kind("run_script"),
    script_id: Uuid,
    ecu_id: EcuId,
    /** The session it runs in, where it runs in one. */
    session_id: Type.Optional(Uuid),
    script: DiagnosticScript,
    /** Then it is given up; the cleanup runs all the same. */
    expires_at: Instant,
  }),
  Type.Object({ kind: kind("cancel_script"), script_id: Uuid }),
  /** The answer to a `challenge` event: the whole UDS request to send, 27 or 29, or why there is none. */
  Type.Object({
    kind: kind("proof"),
    script_id: Uuid,
    challenge_id: Uuid,
    request: Type.Optional(UdsHex),
    error: Type.Optional(Type.String({ maxLength: 256 })),
  }),
  /** Reads identification and trouble codes of every ECU. */
  Type.Object({ kind: kind("scan"), scan_id: Uuid }),
]);
export type DiagnosticControl = Static<typeof DiagnosticControl>;
