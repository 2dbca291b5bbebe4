import type { ColumnType, Generated } from "kysely";
import type { CommandState } from "#protocol/api/command.ts";
import type { CommandName, CommandTarget } from "#protocol/mqtt/control.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    command: CommandTable;
  }
}

export interface CommandTable {
  command_id: string;
  vin: string;
  command: CommandName;
  params: ColumnType<Record<string, unknown> | null, string | null, never>;
  status: Generated<CommandState["status"]>;
  result: ColumnType<unknown, undefined, string>;
  issued_by: string;
  created_at: Generated<Date>;
  expires_at: Date;
  updated_at: Generated<Date>;
  /** What the vehicle is told of the package. */
  target: ColumnType<CommandTarget | null, string | null, never>;
  idempotency_key: string | null;
}
