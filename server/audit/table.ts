import type { ColumnType } from "kysely";

declare module "#server/database/tables.ts" {
  interface Tables {
    audit_entry: AuditEntryTable;
  }
}

/** Rows are inserted and read; the database refuses to change or delete one. */
export interface AuditEntryTable {
  seq: ColumnType<number, number, never>;
  at: ColumnType<Date, Date, never>;
  actor: ColumnType<string, string, never>;
  action: ColumnType<string, string, never>;
  vin: ColumnType<string | null, string | null, never>;
  ecu_id: ColumnType<string | null, string | null, never>;
  subject: ColumnType<string | null, string | null, never>;
  request: ColumnType<Buffer | null, Buffer | null, never>;
  response: ColumnType<Buffer | null, Buffer | null, never>;
  detail: ColumnType<Record<string, unknown> | null, string | null, never>;
  prev_hash: ColumnType<Buffer, Buffer, never>;
  hash: ColumnType<Buffer, Buffer, never>;
}
