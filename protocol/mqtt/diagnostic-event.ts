import Type, { type Static } from "typebox";
import { VehicleTiming } from "./diagnostics.ts";
import { EcuId } from "./ecu-id.ts";
import { Instant } from "./instant.ts";
import { Interlock } from "./interlock.ts";
import { UdsHex } from "./uds-hex.ts";
import { Uuid } from "./uuid.ts";

const kind = <const Name extends string>(name: Name) => Type.Literal(name);
const Failure = Type.Object({
  code: Type.String({ maxLength: 64 }),
  message: Type.String({ maxLength: 1024 }),
});

/** Why a diagnostic session has ended. */
export const sessionEnds = [
  "closed",
  "refused",
  "lease_expired",
  "time_over",
  "taken_over",
  "revoked",
  "operator_revoked",
  "update_started",
  "vehicle_restarted",
] as const;
export const SessionEnd = Type.Enum(sessionEnds);
export type SessionEnd = Static<typeof SessionEnd>;

/** What one ECU said in a scan. */
export const ScannedEcu = Type.Object({
  ecu_id: EcuId,
  /** The answers to 22, by DID in upper-case hex (`F190`): the data behind the identifier. */
  dids: Type.Record(Type.String({ pattern: "^[0-9A-F]{4}$" }), UdsHex),
  /** The answer to 19 02 FF; absent when there was none. */
  dtcs: Type.Optional(UdsHex),
  /** Why something is missing. */
  error: Type.Optional(Failure),
});
export type ScannedEcu = Static<typeof ScannedEcu>;

/** VMG → gateway, on `diagnostics/events`. */
export const DiagnosticEvent = Type.Union([
  /** The ECU is in the session: its answer to 10. */
  Type.Object({ kind: kind("session_opened"), session_id: Uuid, response: UdsHex, ts: Instant }),
  /** It is over, or was not opened (`refused`: the ECU's negative answer, or an error). */
  Type.Object({
    kind: kind("session_ended"),
    session_id: Uuid,
    reason: SessionEnd,
    response: Type.Optional(UdsHex),
    interlock: Type.Optional(Interlock),
    error: Type.Optional(Failure),
    ts: Instant,
  }),
  /** One exchange or wait of a script. `seq` counts from 1 without gaps. */
  Type.Object({
    kind: kind("script_step"),
    script_id: Uuid,
    seq: Type.Integer({ minimum: 1 }),
    /** Where in the script: `steps/2/then/0`, `cleanup/1`. */
    path: Type.String({ maxLength: 128 }),
    request: Type.Optional(UdsHex),
    response: Type.Optional(UdsHex),
    interlock: Type.Optional(Interlock),
    error: Type.Optional(Failure),
    timing: Type.Optional(VehicleTiming),
    ts: Instant,
  }),
  Type.Object({
    kind: kind("script_finished"),
    script_id: Uuid,
    outcome: Type.Enum(["completed", "failed", "cancelled", "expired"]),
    /** How many `script_step`s there were. */
    steps: Type.Integer({ minimum: 0 }),
    /** Answers that were given a name: the last of each. */
    answers: Type.Record(Type.String({ maxLength: 32 }), UdsHex),
    error: Type.Optional(Failure),
    ts: Instant,
  }),
  /**
   * Asks the gateway for the key to a seed (27) or the proof for a challenge (29). `response` is the
   * ECU's whole answer; empty for 29 when the gateway is to say how the authentication begins.
   */
  Type.Object({
    kind: kind("challenge"),
    script_id: Uuid,
    challenge_id: Uuid,
    ecu_id: EcuId,
    service: Type.Union([Type.Literal(0x27), Type.Literal(0x29)]),
    /** Of 27: the odd sub-function. */
    level: Type.Optional(Type.Integer({ minimum: 1, maximum: 0x7d })),
    response: UdsHex,
    ts: Instant,
  }),
  /** A scan that was asked for (`scan_id`), or one around an update. */
  Type.Object({
    kind: kind("scan"),
    scan_id: Type.Optional(Uuid),
    update_id: Type.Optional(Uuid),
    phase: Type.Optional(Type.Enum(["before_update", "after_update"])),
    ecus: Type.Array(ScannedEcu, { maxItems: 1024 }),
    ts: Instant,
  }),
]);
export type DiagnosticEvent = Static<typeof DiagnosticEvent>;
