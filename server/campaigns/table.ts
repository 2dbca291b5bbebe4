import type { ColumnType, Generated, JSONColumnType } from "kysely";
import type {
  CampaignReason,
  CampaignState,
  CampaignVehicleStatus,
  StopRule,
  Wave,
} from "#protocol/api/campaign.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    campaign: CampaignTable;
    campaign_vehicle: CampaignVehicleTable;
    campaign_counter: CampaignCounterTable;
  }
}

type NullableJson<Value> = ColumnType<Value | null, string | null | undefined, string | null>;
type Later<Value> = ColumnType<Value | null, undefined, Value | null>;

export interface CampaignTable {
  campaign_id: string;
  /** Counts changes of content and state; waves open without. */
  revision: Generated<number>;
  state: Generated<CampaignState>;
  state_since: Generated<Date>;
  state_reason: NullableJson<CampaignReason>;
  name: string;
  description: string | null;
  releases: string[];
  filter: string | null;
  /** Only these, where there are any. */
  vins: string[] | null;
  /** Above 0, to 100. */
  percentage: number;
  waves: JSONColumnType<Wave[]>;
  /** When each wave opened, in their order: as many are open as there are times. */
  waves_opened: Generated<Date[]>;
  /** Since when the gate of the next wave has been met. */
  gate_met_at: Later<Date>;
  critical: boolean;
  /** null: it is started by hand. */
  starts_at: Date | null;
  ends_at: Date | null;
  /** false: vehicles registered before `started_at`. */
  dynamic: boolean;
  stop_rule: NullableJson<StopRule>;
  deadline_min: number;
  soak_min: number;
  new_dtcs: "count" | "ignore";
  min_profile: number | null;
  cloned_from: string | null;
  /** Name of the operator. */
  created_by: string;
  /** Names of all who had a hand in its content. */
  authors: string[];
  created_at: Generated<Date>;
  submitted_by: Later<string>;
  submitted_at: Later<Date>;
  approved_by: Later<string>;
  approved_at: Later<Date>;
  started_at: ColumnType<Date | null, Date | null | undefined>;
  ended_at: Later<Date>;
  /** By the database's clock, with every change of the row: books of other gateways follow it. */
  changed_at: Generated<Date>;
  /** Vehicles that failed before get another try; null once all have. */
  retry_at: Later<Date>;
  /** Vehicles that succeeded before are told to go back; null once all were. */
  revert_at: Later<Date>;
  /** Name of the operator. */
  revert_by: Later<string>;
  revert_per_min: Later<number>;
  /** Up to when the pace of going back is used up. */
  reverted_to: Later<Date>;
}

/** A vehicle that takes part, from its first package on. */
export interface CampaignVehicleTable {
  campaign_id: string;
  vin: string;
  wave: number;
  status: CampaignVehicleStatus;
  /** The newest one. */
  update_id: string | null;
  /** How many updates were begun. */
  attempts: Generated<number>;
  reason: NullableJson<CampaignReason>;
  soak_until: ColumnType<Date | null, Date | null | undefined>;
  joined_at: Generated<Date>;
  finished_at: ColumnType<Date | null, Date | null | undefined>;
  changed_at: Generated<Date>;
  /** What it is counted by beside the whole. */
  groups: ColumnType<CountedGroup[], string | undefined, string>;
  /** New after one of its updates; null: none are known. */
  dtcs: NullableJson<NewDtc[]>;
  /** What tells it to go back. */
  command_id: ColumnType<string | null, string | null | undefined>;
}

/** ECUs of a vehicle that are alike; `failed`: they are what its failure is counted against. */
export interface CountedGroup {
  ecu_type: string;
  hardware_version: string;
  failed?: true;
}

export interface NewDtc {
  ecu_id: string;
  code: string;
}

/** The sum over the slots counts. `ecu_type` and `hardware_version` '': whole vehicles. */
export interface CampaignCounterTable {
  campaign_id: string;
  wave: number;
  ecu_type: string;
  hardware_version: string;
  /** By hash of the VIN. */
  slot: number;
  started: Generated<number>;
  /** Now, and whole vehicles only. */
  updating: Generated<number>;
  /** Now. */
  soaking: Generated<number>;
  succeeded: Generated<number>;
  /** And not rolled back. */
  failed: Generated<number>;
  rolled_back: Generated<number>;
  /** Succeeded, and taken back by an operator. */
  reverted: Generated<number>;
  /** Of the failed: by their deadline. */
  silent: Generated<number>;
  /** Of the failed: by DTCs that are new after the update. */
  new_dtcs: Generated<number>;
}
