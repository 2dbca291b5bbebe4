import type { Generated, JSONColumnType } from "kysely";

declare module "#server/database/tables.ts" {
  interface Tables {
    event: EventTable;
  }
}

export interface EventTable {
  event_id: Generated<number>;
  txid: Generated<string>;
  at: Generated<Date>;
  kind: string;
  vin: string | null;
  subject: string | null;
  data: JSONColumnType<Record<string, unknown>>;
}
