import type { ColumnType, Generated, JSONColumnType, RawBuilder } from "kysely";
import type { Vci } from "#protocol/api/vci.ts";
import type { DetectedAttack, VehicleStatus } from "#protocol/api/vehicle.ts";
import type { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import type { RemoteConfig } from "#protocol/mqtt/remote-config.ts";
import type { ConnectionRecord } from "#server/runtime/connection.ts";
import type { InventoryEcu } from "./inventory.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    vehicle: VehicleTable;
    vci: VciTable;
    inventory: InventoryTable;
    ended_minimum_profile: EndedMinimumProfileTable;
  }
}

type NullableJson<T extends object> = ColumnType<
  T | null,
  string | null | undefined,
  string | null
>;

export interface VehicleTable {
  vin: string;
  model: string | null;
  region: string | null;
  vmg_version: string | null;
  channel: Generated<"stable" | "beta">;
  status: Generated<VehicleStatus>;
  registered_at: Generated<Date>;
  last_seen_at: Generated<Date>;
  connection: NullableJson<ConnectionRecord>;
  heartbeat: NullableJson<Heartbeat>;
  config: NullableJson<RemoteConfig>;
  config_revision: Generated<number>;
  min_profile: number | null;
  min_profile_set_at: ColumnType<Date | null, undefined, RawBuilder<Date>>;
  /** Of its newest VCI. */
  inventory_id: ColumnType<string | null, undefined, string>;
  tags: Generated<string[]>;
  /** IANA name. */
  time_zone: ColumnType<string | null, string | null | undefined>;
  /** Of its last connection. */
  profile: ColumnType<number | null, never, never>;
}

/** Of vehicles that were removed: no gateway is to demand it any more. */
export interface EndedMinimumProfileTable {
  vin: string;
  ended_at: Date;
}

export interface InventoryTable {
  inventory_id: string;
  ecus: JSONColumnType<InventoryEcu[]>;
  created_at: Generated<Date>;
}

export interface VciTable {
  vci_id: string;
  vin: string;
  received_at: Generated<Date>;
  reason: string | null;
  collected_at: Date | null;
  zones: JSONColumnType<Vci["zones"]>;
  ecus: JSONColumnType<Vci["ecus"]>;
  current: Generated<boolean>;
  evidence: Generated<"signed" | "unsigned">;
  /** Of the signed manifest; the director's next targets answer to it. */
  nonce: string | null;
  /** SHA-256 of a signed VCI as it came. */
  digest: Buffer | null;
  attacks: JSONColumnType<DetectedAttack[]>;
}
