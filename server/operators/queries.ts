import { sql, type Expression, type ExpressionBuilder, type SqlBool } from "kysely";
import type { Db } from "#server/database/connection.ts";
import type { Tables } from "#server/database/tables.ts";
import type { OperatorLevel, Operator, Role } from "#server/http/access.ts";
import { levelOf } from "./level.ts";
import "./table.ts";

export interface OperatorToken {
  token_id: string;
  name: string;
  role: Role;
  diagnostic_level: OperatorLevel;
  account_id: string | null;
  scopes: string[];
  created_at: string;
  expires_at: string | null;
}

/** The operator behind a token's hash, unless it is expired or revoked: one indexed read. */
export async function operatorByToken(db: Db, tokenSha256: Buffer): Promise<Operator | undefined> {
  return operatorWhere(db, (where) =>
    where.and([
      where("token.token_sha256", "=", tokenSha256),
      where.or([
        where("token.access_expires_at", "is", null),
        where("token.access_expires_at", ">", sql<Date>`now()`),
      ]),
    ]),
  );
}

/** The operator of a token or session, unless it is expired or revoked: what they may do now. */
export async function operatorById(db: Db, tokenId: string): Promise<Operator | undefined> {
  return operatorWhere(db, (where) => where("token.token_id", "=", tokenId));
}

type Joined = Tables & {
  token: Tables["operator_token"];
  account: { [Column in keyof Tables["operator_account"]]: Tables["operator_account"][Column] };
};

async function operatorWhere(
  db: Db,
  which: (where: ExpressionBuilder<Joined, "token" | "account">) => Expression<SqlBool>,
): Promise<Operator | undefined> {
  const row = await db
    .selectFrom("operator_token as token")
    .leftJoin("operator_account as account", "account.account_id", "token.account_id")
    .select((read) => [
      "token.token_id",
      "token.scopes",
      read.fn.coalesce("account.name", "token.name").as("name"),
      read.fn.coalesce("account.role", "token.role").as("role"),
      sql<OperatorLevel | null>`case when token.account_id is null
        then token.diagnostic_level else account.diagnostic_level end`.as("diagnostic_level"),
    ])
    .where((where) => which(where as never))
    .where("token.revoked_at", "is", null)
    .where("account.disabled_at", "is", null)
    .where("account.deleted_at", "is", null)
    .where((where) =>
      where.or([
        where("account.vouched_until", "is", null),
        where("account.vouched_until", ">", sql<Date>`now()`),
      ]),
    )
    .where((where) =>
      where.or([
        where("token.expires_at", "is", null),
        where("token.expires_at", ">", sql<Date>`now()`),
      ]),
    )
    .executeTakeFirst();
  if (row === undefined || row.role === null) return undefined;
  const { scopes, role, diagnostic_level, ...operator } = row;
  return {
    ...operator,
    role,
    diagnostic_level: levelOf({ role, diagnostic_level }),
    ...(scopes && { scopes }),
  };
}

export interface NewToken {
  token_id: string;
  name: string;
  /** null: that of the account. */
  role: Role | null;
  diagnostic_level?: OperatorLevel | null | undefined;
  account_id?: string | undefined;
  scopes?: string[] | undefined;
  token_sha256: Buffer;
  expires_at: Date | null;
}

export async function insertToken(db: Db, token: NewToken): Promise<void> {
  await db.insertInto("operator_token").values(token).execute();
}

/** When a token ends; null: never. */
export async function tokenEnd(db: Db, tokenId: string): Promise<Date | null> {
  const row = await db
    .selectFrom("operator_token")
    .select("expires_at")
    .where("token_id", "=", tokenId)
    .executeTakeFirstOrThrow();
  return row.expires_at;
}

/** API tokens that are not revoked, oldest first. */
export async function listTokens(db: Db): Promise<OperatorToken[]> {
  const rows = await db
    .selectFrom("operator_token as token")
    .leftJoin("operator_account as account", "account.account_id", "token.account_id")
    .select((read) => [
      "token.token_id",
      "token.name",
      "token.account_id",
      "token.scopes",
      "token.created_at",
      "token.expires_at",
      read.fn.coalesce("account.role", "token.role").as("role"),
      sql<OperatorLevel | null>`case when token.account_id is null
        then token.diagnostic_level else account.diagnostic_level end`.as("diagnostic_level"),
    ])
    .where("token.kind", "=", "api")
    .where("token.revoked_at", "is", null)
    .orderBy("token.token_id")
    .execute();
  return rows.flatMap(({ role, ...row }) =>
    role === null
      ? []
      : {
          ...row,
          role,
          diagnostic_level: levelOf({ ...row, role }),
          scopes: row.scopes ?? ["*"],
          created_at: row.created_at.toISOString(),
          expires_at: row.expires_at?.toISOString() ?? null,
        },
  );
}

/** @returns whose it was; undefined when there is no such API token, or it is revoked already */
export async function revokeToken(
  db: Db,
  tokenId: string,
): Promise<{ token_id: string; name: string } | undefined> {
  return db
    .updateTable("operator_token")
    .set({ revoked_at: sql<Date>`now()` })
    .where("token_id", "=", tokenId)
    .where("kind", "=", "api")
    .where("revoked_at", "is", null)
    .returning(["token_id", "name"])
    .executeTakeFirst();
}

/**
 * Gives a name to an account, for good, or to tokens.
 * @returns false when it is an account's already, or too much like another name
 */
export async function claimName(
  db: Db,
  { name, name_key, kind }: { name: string; name_key: string; kind: "account" | "token" },
): Promise<boolean> {
  const added = await db
    .insertInto("operator_name")
    .values({ name, name_key, kind })
    .onConflict((on) => on.column("name_key").doNothing())
    .executeTakeFirst();
  if (added.numInsertedOrUpdatedRows === 1n) return true;
  if (kind === "account") return false;
  const known = await db
    .selectFrom("operator_name")
    .select(["name", "kind"])
    .where("name_key", "=", name_key)
    .executeTakeFirst();
  return known?.kind === "token" && known.name === name;
}
