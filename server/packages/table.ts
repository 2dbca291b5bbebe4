import type { Generated, JSONColumnType } from "kysely";
import type { ZoneRange } from "#protocol/package/layout.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    package: PackageTable;
    package_assignment: PackageAssignmentTable;
  }
}

export interface PackageTable {
  package_id: string;
  manifest: Buffer;
  signatures: Buffer;
  size: number;
  sha256: string;
  zones: JSONColumnType<ZoneRange[]>;
  created_at: Generated<Date>;
}

export interface PackageAssignmentTable {
  vin: string;
  package_id: string;
  expires_at: Date;
}
