import Type, { type Static } from "typebox";
import { EcuId, Timestamp, Uuid, VehicleId, ZoneId } from "./identifier.ts";

const ServiceId = Type.String({
  pattern: "^(0[xX])?[0-9A-Fa-f]{2}$",
  description: "UDS service id",
  examples: ["0x22"],
});
/** 4,095 bytes of UDS, blanks between them allowed. */
const RequestData = Type.String({
  maxLength: 3 * 4095,
  description: "What follows the service id, in hex",
  examples: ["F190"],
});
const TimeoutMs = Type.Integer({ minimum: 100, maximum: 60_000 });

export const DiagnosticSend = Type.Object({
  vin: VehicleId,
  ecu_id: EcuId,
  service_id: ServiceId,
  data: Type.Optional(RequestData),
  timeout_ms: Type.Optional(TimeoutMs),
});
export type DiagnosticSend = Static<typeof DiagnosticSend>;

export const DiagnosticBroadcast = Type.Object({
  vin: VehicleId,
  zone_id: ZoneId,
  service_id: ServiceId,
  data: Type.Optional(RequestData),
  timeout_ms: Type.Optional(TimeoutMs),
});
export type DiagnosticBroadcast = Static<typeof DiagnosticBroadcast>;

const diagnosticStatuses = [
  "awaiting_approval",
  "queued",
  "sent",
  "pending",
  "completed",
  "negative_response",
  "timeout",
  "network_error",
  "denied",
  "cancelled",
  "expired",
] as const;
export const DiagnosticStatus = Type.Enum(diagnosticStatuses);
export type DiagnosticStatus = Static<typeof DiagnosticStatus>;

const EcuResponse = Type.Object({
  ecu_id: EcuId,
  response_data: Type.String({ description: "UDS response, upper-case hex" }),
  decoded: Type.Unknown({ description: "Service, DID and NRC names, values" }),
});
export type EcuResponse = Static<typeof EcuResponse>;

export const DiagnosticResult = Type.Object({
  request_id: Uuid,
  vin: VehicleId,
  ecu_id: Type.Union([EcuId, Type.Null()]),
  zone_id: Type.Union([ZoneId, Type.Null()]),
  service_id: Type.String(),
  request_data: Type.String({ description: "The whole UDS request, upper-case hex" }),
  request_decoded: Type.Unknown(),
  status: DiagnosticStatus,
  attempts: Type.Integer(),
  error: Type.Union([Type.Object({ code: Type.String(), message: Type.String() }), Type.Null()]),
  responses: Type.Array(EcuResponse, { description: "One for an ECU, several for a zone" }),
  requested_by: Type.String(),
  created_at: Timestamp,
  completed_at: Type.Union([Timestamp, Type.Null()]),
  duration_ms: Type.Union([Type.Number(), Type.Null()]),
});
export type DiagnosticResult = Static<typeof DiagnosticResult>;
