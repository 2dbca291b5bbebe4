import Type, { type Static } from "typebox";
import { Timestamp, VehicleId } from "./identifier.ts";

export const TelemetrySample = Type.Object({
  vin: VehicleId,
  ts: Timestamp,
  received_at: Timestamp,
  signals: Type.Record(Type.String(), Type.Union([Type.Number(), Type.Boolean(), Type.String()])),
});
export type TelemetrySample = Static<typeof TelemetrySample>;

export const Anomaly = Type.Object({
  anomaly_id: Type.String(),
  vin: VehicleId,
  ts: Timestamp,
  signal: Type.String(),
  value: Type.Number(),
  rule: Type.Union([Type.Literal("limit"), Type.Literal("deviation")]),
  detail: Type.String(),
  detected_at: Timestamp,
});
export type Anomaly = Static<typeof Anomaly>;
