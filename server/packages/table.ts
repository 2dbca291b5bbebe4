import type { Generated, JSONColumnType } from "kysely";
import type { ZoneRange } from "#protocol/package/layout.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    package: PackageTable;
    superseded_package: SupersededPackageTable;
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

/** A package as it was signed before a rotation of keys. */
export interface SupersededPackageTable {
  package_id: string;
  sha256: string;
  signatures: Buffer;
  size: number;
  /** When the last vehicle that it was assigned to may no longer download it. */
  expires_at: Date;
}

export interface PackageAssignmentTable {
  vin: string;
  package_id: string;
  /** Of the whole file, as it was signed when it was assigned. */
  sha256: string;
  expires_at: Date;
}
