import type { ColumnType, Generated } from "kysely";
import type { RegisterRecord } from "#protocol/api/register.ts";
import type { UpdateStatus } from "#protocol/api/update.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    update_history: UpdateHistoryTable;
    update_firmware: UpdateFirmwareTable;
    register_record: RegisterRecordTable;
  }
}

/** What became of an ECU by an update that has ended. */
export interface UpdateHistoryTable {
  history_id: Generated<number>;
  txid: Generated<string>;
  update_id: string;
  /** 0: the first of its update. */
  ordinal: number;
  vin: string;
  campaign_id: string | null;
  ecu_id: string;
  zone_id: string;
  ecu_type: string;
  hardware_version: string;
  firmware_id: string;
  from_version: string;
  to_version: string;
  status: UpdateStatus;
  error: { code: string; message: string } | null;
  created_at: Date;
  started_at: Date | null;
  completed_at: Date;
  /** When a VCI showed that the ECU runs again what it ran before, after a success. */
  reverted_at: Date | null;
}

export interface UpdateFirmwareTable {
  firmware_id: string;
  update_id: string;
}

/** Inserted and read; the database refuses to change or delete one. */
export interface RegisterRecordTable {
  record_id: ColumnType<string, string, never>;
  record_no: ColumnType<number, never, never>;
  kind: ColumnType<RegisterRecord["kind"], RegisterRecord["kind"], never>;
  update_id: ColumnType<string, string, never>;
  vin: ColumnType<string, string, never>;
  rxswins: ColumnType<string[], string[], never>;
  at: ColumnType<Date, Date, never>;
  record: ColumnType<RegisterRecord, string, never>;
  hash: ColumnType<Buffer, Buffer, never>;
  /** Once. */
  audit_seq: ColumnType<number | null, undefined, number>;
}
