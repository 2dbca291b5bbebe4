import Type, { type Static } from "typebox";
import { sessionEnds } from "#protocol/mqtt/diagnostic-event.ts";
import { Interlock } from "#protocol/mqtt/interlock.ts";
import { EcuId, Timestamp, Uuid, VehicleId } from "./identifier.ts";

/** In the order of a session's life. */
export const sessionStatuses = ["awaiting_approval", "opening", "open", "ended"] as const;
export const SessionStatus = Type.Enum(sessionStatuses);
export type SessionStatus = Static<typeof SessionStatus>;

/** `denied`: it was not approved. */
export const sessionEndReasons = [...sessionEnds, "denied"] as const;
export const SessionEndReason = Type.Enum(sessionEndReasons);
export type SessionEndReason = Static<typeof SessionEndReason>;

const WaitMs = Type.Integer({
  minimum: 0,
  maximum: 60_000,
  default: 10_000,
  description: "Wait up to this long for the ECU's answer",
});
const Reason = Type.String({ minLength: 1, maxLength: 256, description: "Why; for the record" });
const MaxS = Type.Integer({
  minimum: 1,
  maximum: 86_400,
  description: "Ends then, in seconds; at most diagnostics.session_max_s, the default",
});
const UdsSession = Type.String({
  pattern: "^(0[xX])?[0-7][0-9A-Fa-f]$",
  default: "03",
  description: "Sub-function of 10 in hex: 03 is the extended session",
});

export const SessionRequest = Type.Object(
  {
    vin: VehicleId,
    ecu_id: EcuId,
    uds_session: UdsSession,
    max_s: Type.Optional(MaxS),
    reason: Type.Optional(Reason),
    wait_ms: WaitMs,
  },
  {
    examples: [
      { vin: "VMG-001", ecu_id: "ECU_001", uds_session: "03", reason: "Noise when braking" },
    ],
  },
);
export type SessionRequest = Static<typeof SessionRequest>;

export const SessionTakeover = Type.Object(
  {
    uds_session: Type.Optional(UdsSession),
    max_s: Type.Optional(MaxS),
    reason: Type.Optional(Reason),
    wait_ms: WaitMs,
  },
  { examples: [{ uds_session: "03", reason: "The holder has left" }] },
);
export type SessionTakeover = Static<typeof SessionTakeover>;

const orNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);

export const DiagnosticSession = Type.Object({
  session_id: Uuid,
  vin: VehicleId,
  ecu_id: EcuId,
  uds_session: Type.String({ description: "Sub-function of 10, upper-case hex" }),
  status: SessionStatus,
  operator: Type.String(),
  reason: orNull(Type.String()),
  max_s: Type.Integer(),
  response_data: orNull(Type.String({ description: "The ECU's answer to 10, upper-case hex" })),
  response_decoded: Type.Unknown(),
  end_reason: orNull(SessionEndReason),
  ended_by: orNull(Type.String()),
  interlock: orNull(Interlock),
  error: orNull(Type.Object({ code: Type.String(), message: Type.String() })),
  created_at: Timestamp,
  opened_at: orNull(Timestamp),
  expires_at: Timestamp,
  ended_at: orNull(Timestamp),
});
export type DiagnosticSession = Static<typeof DiagnosticSession>;

export const DiagnosticRevoke = Type.Object(
  {
    vin: Type.Optional(VehicleId),
    operator: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    reason: Reason,
  },
  { examples: [{ vin: "VMG-001", reason: "The vehicle is sold" }] },
);
export type DiagnosticRevoke = Static<typeof DiagnosticRevoke>;
