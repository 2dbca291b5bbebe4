import type { ColumnType, Generated, JSONColumnType, RawBuilder } from "kysely";
import type { UpdateStatus } from "#protocol/api/update.ts";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import type { Target } from "./update.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    vehicle_update: VehicleUpdateTable;
    update_event: UpdateEventTable;
  }
}

export interface UpdateError {
  code: string;
  message: string;
}

type NullableError = ColumnType<UpdateError | null, string | null | undefined, string | null>;

export interface VehicleUpdateTable {
  update_id: string;
  vin: string;
  package_id: string;
  status: UpdateStatus;
  progress: Generated<number>;
  targets: JSONColumnType<Target[]>;
  claimed: Generated<boolean>;
  error: NullableError;
  created_at: Generated<Date>;
  started_at: ColumnType<Date | null, undefined, Date>;
  completed_at: ColumnType<Date | null, undefined, Date>;
  last_report_at: Generated<Date>;
  campaign_id: ColumnType<string | null, string | null | undefined, never>;
  /** From the start of the installation to its proof, in minutes. */
  deadline_min: Generated<number>;
  /** When it counts as failed, unless its proof has come. */
  deadline_at: ColumnType<Date | null, undefined, RawBuilder<Date> | null>;
  /** Why the vehicle waits, as it was told. */
  deferral: ColumnType<Deferral[] | null, undefined, string | null>;
}

export interface UpdateEventTable {
  event_id: Generated<number>;
  update_id: string;
  status: string;
  progress: number;
  ecu_id: string | null;
  message: string | null;
  bytes_downloaded: number | null;
  error: NullableError;
  applied: boolean;
  reported_at: Date;
  received_at: Generated<Date>;
}
