import type { ColumnType, Generated } from "kysely";

declare module "#server/database/tables.ts" {
  interface Tables {
    firmware: FirmwareTable;
  }
}

export interface FirmwareTable {
  firmware_id: string;
  ecu_type: string;
  version: string;
  hardware_versions: string[];
  channel: "stable" | "beta";
  min_current_version: string | null;
  critical: Generated<boolean>;
  release_notes: string | null;
  status: Generated<"active" | "archived">;
  /** bigint columns arrive as numbers; see the type parser of the connection. */
  size: ColumnType<number, number>;
  sha256: string;
  sha512: string | null;
  compressed_size: ColumnType<number, number>;
  compressed_sha256: string;
  created_by: string;
  created_at: Generated<Date>;
  /** Since when signed targets name the image as it is; vehicles take no other. */
  published_at: ColumnType<Date | null, undefined, Date | null>;
}
