import { sql, type Expression, type ExpressionBuilder, type SqlBool } from "kysely";
import type { Db } from "#server/database/connection.ts";
import type { Tables } from "#server/database/tables.ts";
import type { OperatorLevel, Operator, Role } from "#server/http/access.ts";
import "./table.ts";

/** Where a token says nothing of its own. */
const usualLevel: Record<Role, OperatorLevel> = {
  viewer: "none",
  release_manager: "none",
  campaign_manager: "none",
  approver: "none",
  diagnostician: "control",
  admin: "control",
};

export interface OperatorToken {
  token_id: string;
  name: string;
  role: Role;
  diagnostic_level: OperatorLevel;
  created_at: string;
  expires_at: string | null;
}

/** The operator behind a token's hash, unless it is expired or revoked. */
export async function operatorByToken(db: Db, tokenSha256: Buffer): Promise<Operator | undefined> {
  return operatorWhere(db, (where) => where("token_sha256", "=", tokenSha256));
}

/** The operator of a token, unless it is expired or revoked: what they may do now. */
export async function operatorById(db: Db, tokenId: string): Promise<Operator | undefined> {
  return operatorWhere(db, (where) => where("token_id", "=", tokenId));
}

async function operatorWhere(
  db: Db,
  which: (where: ExpressionBuilder<Tables, "operator_token">) => Expression<SqlBool>,
): Promise<Operator | undefined> {
  const row = await db
    .selectFrom("operator_token")
    .select(["token_id", "name", "role", "diagnostic_level"])
    .where(which)
    .where("revoked_at", "is", null)
    .where((where) =>
      where.or([where("expires_at", "is", null), where("expires_at", ">", sql<Date>`now()`)]),
    )
    .executeTakeFirst();
  return row && { ...row, diagnostic_level: row.diagnostic_level ?? usualLevel[row.role] };
}

export async function insertToken(
  db: Db,
  token: {
    token_id: string;
    name: string;
    role: Role;
    diagnostic_level?: OperatorLevel | null | undefined;
    token_sha256: Buffer;
    expires_at: Date | null;
  },
): Promise<void> {
  await db.insertInto("operator_token").values(token).execute();
}

/** Tokens that are not revoked, oldest first. */
export async function listTokens(db: Db): Promise<OperatorToken[]> {
  const rows = await db
    .selectFrom("operator_token")
    .select(["token_id", "name", "role", "diagnostic_level", "created_at", "expires_at"])
    .where("revoked_at", "is", null)
    .orderBy("token_id")
    .execute();
  return rows.map((row) => ({
    ...row,
    diagnostic_level: row.diagnostic_level ?? usualLevel[row.role],
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at?.toISOString() ?? null,
  }));
}

/** @returns whose it was; undefined when there is no such token, or it is revoked already */
export async function revokeToken(
  db: Db,
  tokenId: string,
): Promise<{ token_id: string; name: string } | undefined> {
  return db
    .updateTable("operator_token")
    .set({ revoked_at: new Date() })
    .where("token_id", "=", tokenId)
    .where("revoked_at", "is", null)
    .returning(["token_id", "name"])
    .executeTakeFirst();
}
