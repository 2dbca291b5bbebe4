import type { ColumnType, Generated } from "kysely";
import type { OperatorLevel, Role } from "#server/http/access.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    operator_token: OperatorTokenTable;
  }
}

export interface OperatorTokenTable {
  token_id: string;
  name: string;
  role: Role;
  /** null: what the role has by default. */
  diagnostic_level: ColumnType<OperatorLevel | null, OperatorLevel | null | undefined>;
  token_sha256: Buffer;
  created_at: Generated<Date>;
  expires_at: ColumnType<Date | null, Date | null | undefined>;
  revoked_at: ColumnType<Date | null, undefined, Date>;
}
