import type { ColumnType, Generated } from "kysely";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    trust_repository: { repository: RepositoryName };
    trust_metadata: TrustMetadataTable;
    trust_key: TrustKeyTable;
    director_issue: DirectorIssueTable;
    vehicle_trust: VehicleTrustTable;
  }
}

/** bigint columns arrive as numbers; see the type parser of the connection. */
type Version = ColumnType<number, number>;

export interface TrustMetadataTable {
  repository: RepositoryName;
  /** `root`, `timestamp`, `snapshot`, `targets` or the name of a delegated role. */
  role: string;
  version: Version;
  bytes: Buffer;
  expires_at: Date;
  /** Served; until all that it needs is there, a file waits. */
  live: boolean;
  created_at: Generated<Date>;
}

export interface TrustKeyTable {
  key_id: string;
  repository: RepositoryName;
  role: string;
  /** SPKI, PEM. */
  public_key: string;
  created_at: Generated<Date>;
}

/** The director's three files for a vehicle, issued together under one version. */
export interface DirectorIssueTable {
  vin: string;
  version: Version;
  /** What was so when they were signed; when it is no longer, they are issued anew. */
  root_version: Version;
  update_id: string | null;
  vci_id: string | null;
  expires_at: Date;
  timestamp: Buffer;
  snapshot: Buffer;
  targets: Buffer;
}

/** The newest root of each repository that a vehicle is known to trust. */
export interface VehicleTrustTable {
  vin: string;
  director_root: ColumnType<number | null, number | null | undefined, number>;
  image_root: ColumnType<number | null, number | null | undefined, number>;
}
