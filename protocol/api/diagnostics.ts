import Type, { type Static } from "typebox";
import { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";
import { Interlock } from "#protocol/mqtt/interlock.ts";
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

/** What a request may say besides whom it asks for what. */
const options = {
  data: Type.Optional(RequestData),
  timeout_ms: Type.Optional(TimeoutMs),
  ttl_s: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 7 * 86_400,
      description: "How long it waits for a vehicle that is offline; 0: now or never",
    }),
  ),
  idempotency_key: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 128,
      description: "The same key again brings the request that was made with it, and no second one",
    }),
  ),
  session_id: Type.Optional(Uuid),
  wait_ms: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 60_000,
      description: "Wait so long for the result; it is answered with 200 then",
    }),
  ),
};

export const DiagnosticSend = Type.Object(
  {
    vin: VehicleId,
    ecu_id: EcuId,
    service_id: ServiceId,
    ...options,
  },
  {
    examples: [
      { vin: "VMG-001", ecu_id: "ECU_001", service_id: "0x22", data: "F190", wait_ms: 5000 },
    ],
  },
);
export type DiagnosticSend = Static<typeof DiagnosticSend>;

export const DiagnosticBroadcast = Type.Object(
  {
    vin: VehicleId,
    zone_id: ZoneId,
    service_id: ServiceId,
    ...options,
  },
  { examples: [{ vin: "VMG-001", zone_id: "ZG-FRONT", service_id: "0x22", data: "F195" }] },
);
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

const Ms = Type.Number({ minimum: 0 });

/** Where the time of a request went, in milliseconds; a part that is not known is left out. */
export const Hops = Type.Object({
  rest_ms: Type.Optional(Type.Number({ description: "Checked, audited and stored" })),
  queued_ms: Type.Optional(Type.Number({ description: "Waited for the vehicle" })),
  broker_ms: Type.Optional(
    Type.Number({ description: "Until the vehicle acknowledged it (MQTT)" }),
  ),
  network_ms: Type.Optional(Type.Number({ description: "To the vehicle and back" })),
  vmg_ms: Type.Optional(Type.Number({ description: "In the vehicle, all in all" })),
  vehicle: Type.Optional(VehicleTiming),
  store_ms: Type.Optional(Ms),
});
export type Hops = Static<typeof Hops>;

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
  interlock: Type.Union([Interlock, Type.Null()], {
    description: "The vehicle itself refused, to stay safe",
  }),
  requested_by: Type.String(),
  approved_by: Type.Union([Type.String(), Type.Null()]),
  session_id: Type.Union([Uuid, Type.Null()]),
  created_at: Timestamp,
  expires_at: Timestamp,
  sent_at: Type.Union([Timestamp, Type.Null()]),
  completed_at: Type.Union([Timestamp, Type.Null()]),
  duration_ms: Type.Union([Type.Number(), Type.Null()]),
  hops: Type.Union([Hops, Type.Null()]),
});
export type DiagnosticResult = Static<typeof DiagnosticResult>;
