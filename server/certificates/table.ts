import type { ColumnType, Generated } from "kysely";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import type { RevocationReason } from "#crypto/revocation-list.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    certificate: CertificateTable;
    enrollment_token: EnrollmentTokenTable;
    revocation_list: RevocationListTable;
  }
}

export interface CertificateTable {
  certificate_id: string;
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string;
  vin: string;
  /** Lower-case hex. */
  serial: string;
  /** Key identifier of the authority; null for one whose lists are not made here. */
  issuer: string | null;
  algorithm: KeyAlgorithm;
  /** SHA-256 of the public key (SubjectPublicKeyInfo), hex; null where it was not noted. */
  key_sha256: string | null;
  not_before: Date;
  not_after: Date;
  issued_at: Generated<Date>;
  issued_by: string;
  revoked_at: ColumnType<Date | null, undefined, Date>;
  revoked_by: ColumnType<string | null, undefined, string>;
  revocation_reason: ColumnType<RevocationReason | null, undefined, RevocationReason>;
}

export interface EnrollmentTokenTable {
  token_id: string;
  vin: string;
  token_sha256: Buffer;
  created_by: string;
  created_at: Generated<Date>;
  expires_at: Date;
  used_at: ColumnType<Date | null, undefined, Date>;
}

export interface RevocationListTable {
  issuer: string;
  number: number;
  this_update: Date;
  next_update: Date;
  entries: number;
  der: Buffer;
}
