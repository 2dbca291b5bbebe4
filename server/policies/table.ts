import type { ColumnType, RawBuilder } from "kysely";
import type { PolicyChange } from "#protocol/api/policy.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    update_policy: UpdatePolicyTable;
  }
}

export interface UpdatePolicyTable {
  policy_id: string;
  /** Of one vehicle; null: of a group. */
  vin: string | null;
  name: string | null;
  position: number | null;
  filter: string | null;
  /** null: it was removed. */
  settings: ColumnType<PolicyChange | null, string | null, string | null>;
  changed_by: string;
  changed_at: ColumnType<Date, undefined, RawBuilder<Date>>;
}
