import type { ColumnType, Generated, JSONColumnType } from "kysely";
import type { Requirement } from "./release.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    firmware: FirmwareTable;
    firmware_sbom: FirmwareSbomTable;
    firmware_component: FirmwareComponentTable;
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
  /** Of the build that made the image; bigint. */
  build_number: number | null;
  requires: JSONColumnType<Requirement[], string | undefined>;
  /** RxSWIN (UN Regulation No. 156) of the regulated software that the image belongs to. */
  rxswin: string | null;
  availability: Generated<"channel" | "campaign">;
  archived_at: ColumnType<Date | null, undefined, Date | null>;
  /** The transaction that changed it last; by a trigger. */
  changed_by: ColumnType<string, never, never>;
  /** Sorts as versions precede each other (SemVer §11). */
  version_key: ColumnType<string, never, never>;
}

/** What the software of an image consists of. */
export interface FirmwareSbomTable {
  firmware_id: string;
  /** As it was handed in. */
  document: Buffer;
  size: number;
  sha256: string;
  spec_version: string;
  serial_number: string | null;
  bom_version: number;
  component_count: number;
  created_by: string;
  created_at: Generated<Date>;
}

export interface FirmwareComponentTable {
  firmware_id: string;
  position: number;
  name: string;
  version: string | null;
  purl: string | null;
  /** The package URL without version, qualifiers and subpath. */
  package: string | null;
  package_version: string | null;
}
