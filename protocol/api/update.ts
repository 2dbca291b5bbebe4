import Type, { type Static } from "typebox";
import { Deferral } from "#protocol/mqtt/deferral.ts";
import {
  EcuId,
  EcuType,
  HardwareVersion,
  Timestamp,
  Uuid,
  VehicleId,
  Version,
  ZoneId,
} from "./identifier.ts";

export const updateStatuses = [
  "pending",
  "downloading",
  "verifying",
  "backing_up",
  "installing",
  "restarting",
  "health_check",
  "success",
  "rolling_back",
  "rolled_back",
  "failed",
  "cancelled",
  "expired",
  "deferred",
] as const;
export const UpdateStatus = Type.Enum(updateStatuses);
export type UpdateStatus = Static<typeof UpdateStatus>;

const UpdateError = Type.Object({ code: Type.String(), message: Type.String() });

export const Update = Type.Object({
  update_id: Uuid,
  vin: VehicleId,
  package_id: Type.String(),
  status: UpdateStatus,
  progress: Type.Number(),
  targets: Type.Array(
    Type.Object({
      ecu_id: EcuId,
      zone_id: ZoneId,
      ecu_type: EcuType,
      hardware_version: HardwareVersion,
      firmware_id: Uuid,
      from_version: Version,
      to_version: Version,
    }),
  ),
  error: Type.Union([UpdateError, Type.Null()]),
  campaign_id: Type.Union([Uuid, Type.Null()]),
  deferral: Type.Union([Type.Array(Deferral), Type.Null()], {
    description: "Why it waits, or last waited",
  }),
  created_at: Timestamp,
  started_at: Type.Union([Timestamp, Type.Null()]),
  completed_at: Type.Union([Timestamp, Type.Null()]),
});
export type Update = Static<typeof Update>;

export const UpdateEvent = Type.Object({
  status: Type.String(),
  progress: Type.Number(),
  ecu_id: Type.Union([EcuId, Type.Null()]),
  message: Type.Union([Type.String(), Type.Null()]),
  bytes_downloaded: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], {
    description: "Of the package, as far as the vehicle says",
  }),
  error: Type.Union([UpdateError, Type.Null()]),
  applied: Type.Boolean({ description: "False when the report came late or out of order" }),
  reported_at: Timestamp,
  received_at: Timestamp,
});
export type UpdateEvent = Static<typeof UpdateEvent>;

export const UpdateWithEvents = Type.Object({
  ...Update.properties,
  events: Type.Array(UpdateEvent),
});
