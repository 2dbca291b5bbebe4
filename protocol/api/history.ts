import Type, { type Static } from "typebox";
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
import { UpdateEvent, UpdateStatus } from "./update.ts";

/** What became of an ECU by an update that has ended. */
export const HistoryItem = Type.Object({
  update_id: Uuid,
  vin: VehicleId,
  campaign_id: Type.Union([Uuid, Type.Null()]),
  ecu_id: EcuId,
  zone_id: ZoneId,
  ecu_type: EcuType,
  hardware_version: HardwareVersion,
  firmware_id: Uuid,
  from_version: Version,
  to_version: Version,
  status: UpdateStatus,
  error: Type.Union([Type.Object({ code: Type.String(), message: Type.String() }), Type.Null()]),
  created_at: Timestamp,
  started_at: Type.Union([Timestamp, Type.Null()]),
  completed_at: Timestamp,
  reverted_at: Type.Union([Timestamp, Type.Null()], {
    description: "Of a success: when a later VCI showed that the ECU runs `from_version` again",
  }),
});
export type HistoryItem = Static<typeof HistoryItem>;

/** What a vehicle has told of an update. */
export const LogItem = Type.Object({
  log_id: Type.Integer(),
  update_id: Uuid,
  vin: VehicleId,
  campaign_id: Type.Union([Uuid, Type.Null()]),
  ...UpdateEvent.properties,
});

/** What numbers are counted by. */
export const statisticsBy = [
  "day",
  "campaign",
  "firmware",
  "ecu_type",
  "hardware_version",
] as const;
export type StatisticsBy = (typeof statisticsBy)[number];

const Count = Type.Integer({ minimum: 0 });
const Rate = Type.Union([Type.Number({ minimum: 0, maximum: 1 }), Type.Null()], {
  description: "Of those that came to an end in the vehicle; null: none did",
});

export const Statistic = Type.Object({
  key: Type.Union([Type.String(), Type.Null()], {
    description: "The day, or the id or name of what is counted by; null: no campaign",
  }),
  total: Type.Integer({ minimum: 0, description: "Updates by day and campaign, else ECUs" }),
  success: Count,
  failed: Count,
  rolled_back: Count,
  cancelled: Count,
  expired: Count,
  success_rate: Rate,
  failure_rate: Rate,
  duration_s: Type.Union([Type.Object({ p50: Type.Number(), p95: Type.Number() }), Type.Null()], {
    description: "From the start to the proof, of successes, to a tenth; null: there is none",
  }),
});
export type Statistic = Static<typeof Statistic>;
