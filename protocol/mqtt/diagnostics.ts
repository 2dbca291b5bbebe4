import Type, { type Static } from "typebox";
import { EcuId } from "./ecu-id.ts";
import { Uuid } from "./uuid.ts";

const Hex = Type.String({ pattern: "^([0-9A-F]{2})*$", maxLength: 2 * 65_535 });

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
  data: Hex,
  timeout_ms: Type.Integer({ minimum: 1, maximum: 60_000 }),
  attempt: Type.Integer({ minimum: 1 }),
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
} as const;
export type DiagnosticErrorCode = keyof typeof diagnosticErrors;

/** VMG → gateway. `success` says that the ECU answered; a negative response is an answer too. */
export const DiagnosticResponse = Type.Object({
  request_id: Uuid,
  attempt: Type.Integer({ minimum: 1 }),
  ecu_id: Type.Optional(EcuId),
  success: Type.Boolean(),
  response_data: Type.Optional(Hex),
  responses: Type.Optional(
    Type.Array(Type.Object({ ecu_id: EcuId, response_data: Hex }), { maxItems: 256 }),
  ),
  error: Type.Optional(
    Type.Object({
      code: Type.String({ maxLength: 64 }),
      message: Type.String({ maxLength: 1024 }),
    }),
  ),
  duration_ms: Type.Optional(Type.Number({ minimum: 0 })),
});
export type DiagnosticResponse = Static<typeof DiagnosticResponse>;

/** Tells the two kinds on the one topic apart: only a response says `success`. */
export function isDiagnosticResponse(payload: unknown): boolean {
  return typeof payload === "object" && payload !== null && Object.hasOwn(payload, "success");
}
