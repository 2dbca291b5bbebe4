import Type, { type Static } from "typebox";
import { EcuId } from "./ecu-id.ts";
import { Interlock } from "./interlock.ts";
import { UdsHex } from "./uds-hex.ts";
import { Uuid } from "./uuid.ts";

/**
 * Gateway → VMG. One of `ecu_id` (physical) and `zone_id` (functional: every ECU of the zone).
 * `attempt` counts from 1; a VMG that has carried out a `request_id` answers a repeat of it from
 * memory, so that a service that changes something is never carried out twice.
 */
export const DiagnosticRequest = Type.Object({
  request_id: Uuid,
  ecu_id: Type.Optional(EcuId),
  zone_id: Type.Optional(EcuId),
  service_id: Type.String({ pattern: "^0x[0-9A-F]{2}$" }),
  data: UdsHex,
  timeout_ms: Type.Integer({ minimum: 1, maximum: 60_000 }),
  attempt: Type.Integer({ minimum: 1 }),
  /** The diagnostic session it belongs to; an ECU that is in one takes nothing else. */
  session_id: Type.Optional(Uuid),
});
export type DiagnosticRequest = Static<typeof DiagnosticRequest>;

/** Why a VMG has no answer of an ECU to give. */
export const diagnosticErrors = {
  UDS_TIMEOUT: "the ECU did not answer in time",
  DOIP_CONNECT: "the zonal gateway could not be reached",
  DOIP_NACK: "the zonal gateway refused the message",
  DOIP_UNREACHABLE: "the zonal gateway can't reach the ECU",
  ECU_UNKNOWN: "the vehicle has no such ECU or zone",
  VEHICLE_BUSY: "the vehicle can't take the request now",
  REQUEST_INVALID: "the VMG could not read the request",
  PROGRAMMING_REFUSED: "software changes by updates alone",
  SESSION_UNKNOWN: "the vehicle has no such diagnostic session",
  ECU_IN_SESSION: "the ECU is in a diagnostic session of somebody else",
  CANCELLED: "given up before the ECU was asked",
  REVOKED: "remote diagnostics of the vehicle was ended at once",
} as const;
export type DiagnosticErrorCode = keyof typeof diagnosticErrors;

/** Where the time went in the vehicle, in milliseconds; a part that was not reached is left out. */
export const VehicleTiming = Type.Object({
  /** Until it was this request's turn at the ECU. */
  queue_ms: Type.Optional(Type.Number({ minimum: 0 })),
  /** From sending to the zonal gateway's acknowledgement (DoIP 8002). */
  doip_ack_ms: Type.Optional(Type.Number({ minimum: 0 })),
  /** From the acknowledgement to the final answer, response pending included. */
  ecu_ms: Type.Optional(Type.Number({ minimum: 0 })),
  /** How many response pending (78) came before it. */
  pending_count: Type.Optional(Type.Integer({ minimum: 0 })),
  /** From the first 78 to the final answer. */
  pending_ms: Type.Optional(Type.Number({ minimum: 0 })),
});
export type VehicleTiming = Static<typeof VehicleTiming>;

/** VMG → gateway. `success` says that the ECU answered; a negative response is an answer too. */
export const DiagnosticResponse = Type.Object({
  request_id: Uuid,
  attempt: Type.Integer({ minimum: 1 }),
  ecu_id: Type.Optional(EcuId),
  success: Type.Boolean(),
  /** Not the answer yet: the ECU has said that it will come (78). */
  pending: Type.Optional(Type.Literal(true)),
  response_data: Type.Optional(UdsHex),
  responses: Type.Optional(
    Type.Array(Type.Object({ ecu_id: EcuId, response_data: UdsHex }), { maxItems: 256 }),
  ),
  error: Type.Optional(
    Type.Object({
      code: Type.String({ maxLength: 64 }),
      message: Type.String({ maxLength: 1024 }),
    }),
  ),
  /** Set when the VMG itself answered, with the NRC that fits, to keep the vehicle safe. */
  interlock: Type.Optional(Interlock),
  duration_ms: Type.Optional(Type.Number({ minimum: 0 })),
  timing: Type.Optional(VehicleTiming),
});
export type DiagnosticResponse = Static<typeof DiagnosticResponse>;

/** Tells the two kinds on the one topic apart: only a response says `success`. */
export function isDiagnosticResponse(payload: unknown): boolean {
  return typeof payload === "object" && payload !== null && Object.hasOwn(payload, "success");
}
