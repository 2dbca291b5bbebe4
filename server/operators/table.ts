import type { ColumnType, Generated } from "kysely";
import type { OperatorLevel, Role } from "#server/http/access.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    operator_name: OperatorNameTable;
    operator_account: OperatorAccountTable;
    operator_token: OperatorTokenTable;
    operator_login: OperatorLoginTable;
  }
}

/** Every name that an account or tokens have, or had. */
export interface OperatorNameTable {
  name_key: string;
  name: string;
  kind: "account" | "token";
}

export interface OperatorAccountTable {
  account_id: string;
  name: string;
  display_name: string | null;
  role: Role;
  /** null: what the role has by default. */
  diagnostic_level: OperatorLevel | null;
  /** null: nobody can log in by password. */
  password_hash: string | null;
  password_temporary: ColumnType<boolean, boolean | undefined>;
  /** Of a temporary one; null: it has no end. */
  password_expires_at: ColumnType<Date | null, Date | null | undefined>;
  /** Of whom the OIDC issuer vouches for. */
  issuer: ColumnType<string | null, string | null | undefined, never>;
  subject: ColumnType<string | null, string | null | undefined, never>;
  /** Without another token of the issuer nothing of the account is good any more. */
  vouched_until: ColumnType<Date | null, Date | null | undefined>;
  disabled_at: ColumnType<Date | null, undefined, Date | null>;
  deleted_at: ColumnType<Date | null, undefined, Date>;
  created_at: Generated<Date>;
}

/** What operators call with: API tokens, sessions that a login began, tokens of the OIDC issuer. */
export interface OperatorTokenTable {
  token_id: string;
  /** Of the account, if it belongs to one. */
  name: string;
  /** null: the account's. */
  role: ColumnType<Role | null>;
  /** null: the account's, or what the role has by default. */
  diagnostic_level: ColumnType<OperatorLevel | null, OperatorLevel | null | undefined>;
  kind: ColumnType<"api" | "session" | "oidc", "api" | "session" | "oidc" | undefined, never>;
  account_id: ColumnType<string | null, string | null | undefined, never>;
  /** null: all that the role may. */
  scopes: ColumnType<string[] | null, string[] | null | undefined, never>;
  /** Of the API token, of the session's access token, or of the issuer's. */
  token_sha256: Buffer;
  /** Of a session: when its access token ends. */
  access_expires_at: ColumnType<Date | null, Date | undefined>;
  /** What all refresh tokens of a session have in common, and the secret of the newest. */
  family_sha256: ColumnType<Buffer | null, Buffer | undefined, never>;
  refresh_sha256: ColumnType<Buffer | null, Buffer | undefined>;
  created_at: Generated<Date>;
  expires_at: ColumnType<Date | null, Date | null | undefined>;
  /** No refresh of a session, and no token of the issuer, goes beyond. */
  ends_at: ColumnType<Date | null, Date | undefined, never>;
  used_at: ColumnType<Date | null, Date | undefined>;
  source: ColumnType<string | null, string | null | undefined>;
  /** The ID token that the session was made from; it is good for one. */
  id_token_sha256: ColumnType<Buffer | null, Buffer | undefined, never>;
  revoked_at: ColumnType<Date | null, undefined, Date>;
}

/** Failed logins by the hash of a name, whether or not anybody has it. */
export interface OperatorLoginTable {
  name_sha256: Buffer;
  failures: number;
  locked_until: Date | null;
  last_at: Date;
}
