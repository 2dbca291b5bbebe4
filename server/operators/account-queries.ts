import { sql } from "kysely";
import type { Account } from "#protocol/api/operator.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { OperatorLevel, Role } from "#server/http/access.ts";
import { levelOf } from "./level.ts";
import { isLocked } from "./login-queries.ts";
import "./table.ts";

export interface NewAccountRow {
  account_id: string;
  name: string;
  display_name: string | null;
  role: Role;
  diagnostic_level: OperatorLevel | null;
  password_hash: string | null;
  password_temporary?: boolean;
  /** Of a temporary password, in seconds; without it it has no end. */
  password_life_s?: number;
  /** Of somebody whom the issuer vouches for: for so many seconds. */
  external?: { issuer: string; subject: string; vouched_s: number };
}

export async function insertAccount(
  db: Db,
  { password_life_s, external, ...account }: NewAccountRow,
): Promise<void> {
  const { vouched_s, ...vouched } = external ?? {};
  const ends = { password_expires_at: endOf(password_life_s), vouched_until: endOf(vouched_s) };
  await db
    .insertInto("operator_account")
    .values({ ...account, ...vouched, ...ends })
    .execute();
}

function endOf(lifeS: number | undefined) {
  return lifeS === undefined ? null : sql<Date>`now() + ${lifeS} * interval '1 second'`;
}

/** Whether there is any, or was. */
export async function anyAccount(db: Db): Promise<boolean> {
  const row = await db.selectFrom("operator_account").select("account_id").limit(1).execute();
  return row.length > 0;
}

/** Accounts that are not deleted in the order of their names, from behind `cursor` on. */
export async function listAccounts(
  db: Db,
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): Promise<Account[]> {
  let query = selectAccounts(db).orderBy("account.name").limit(limit);
  if (cursor !== undefined) query = query.where("account.name", ">", cursor);
  return (await query.execute()).map(asAccount);
}

export async function accountById(db: Db, accountId: string): Promise<Account | undefined> {
  const row = await selectAccounts(db)
    .where("account.account_id", "=", accountId)
    .executeTakeFirst();
  return row && asAccount(row);
}

function selectAccounts(db: Db) {
  return db
    .selectFrom("operator_account as account")
    .leftJoin("operator_name", "operator_name.name", "account.name")
    .leftJoin("operator_login as login", (join) =>
      join.on(
        "login.name_sha256",
        "=",
        sql<Buffer>`sha256(convert_to(operator_name.name_key, 'UTF8'))`,
      ),
    )
    .select([
      "account.account_id",
      "account.name",
      "account.display_name",
      "account.role",
      "account.diagnostic_level",
      "account.issuer",
      "account.vouched_until",
      "account.disabled_at",
      "account.password_temporary",
      "account.password_expires_at",
      "account.created_at",
      sql<Date | null>`case when ${isLocked("login.locked_until")} then login.locked_until end`.as(
        "locked_until",
      ),
    ])
    .where("account.deleted_at", "is", null);
}

type AccountRow = Awaited<ReturnType<ReturnType<typeof selectAccounts>["execute"]>>[number];

function asAccount({ issuer, disabled_at, ...row }: AccountRow): Account {
  return {
    ...row,
    diagnostic_level: levelOf(row),
    external: issuer !== null,
    vouched_until: row.vouched_until?.toISOString() ?? null,
    disabled: disabled_at !== null,
    locked_until: row.locked_until?.toISOString() ?? null,
    password_expires_at: row.password_expires_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
  };
}

/** What a login needs of an account. */
export interface LoginAccount {
  account_id: string;
  name: string;
  password_hash: string | null;
  password_temporary: boolean;
  /** It was temporary, and its time is over. */
  password_expired: boolean;
}

/** The account that a name means, if one can log in to it by password. */
export async function accountForLogin(db: Db, nameKey: string): Promise<LoginAccount | undefined> {
  return db
    .selectFrom("operator_name")
    .innerJoin("operator_account as account", "account.name", "operator_name.name")
    .select([
      "account.account_id",
      "account.name",
      "account.password_hash",
      "account.password_temporary",
      sql<boolean>`coalesce(account.password_expires_at <= now(), false)`.as("password_expired"),
    ])
    .where("operator_name.name_key", "=", nameKey)
    .where("operator_name.kind", "=", "account")
    .where("account.disabled_at", "is", null)
    .where("account.deleted_at", "is", null)
    .executeTakeFirst();
}

export interface AccountUpdate {
  display_name?: string | null | undefined;
  role?: Role | undefined;
  diagnostic_level?: OperatorLevel | null | undefined;
  disabled?: boolean | undefined;
}

/** @returns whether there is such an account */
export async function updateAccount(
  db: Db,
  accountId: string,
  { disabled, ...set }: AccountUpdate,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("operator_account")
    .set({
      ...set,
      ...(disabled !== undefined && { disabled_at: disabled ? new Date() : null }),
    })
    .where("account_id", "=", accountId)
    .where("deleted_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Notes that the issuer has vouched for somebody just now. */
export async function vouch(db: Db, accountId: string, seconds: number): Promise<void> {
  await db
    .updateTable("operator_account")
    .set({ vouched_until: endOf(seconds) })
    .where("account_id", "=", accountId)
    .execute();
}

export interface NewPassword {
  password_hash: string;
  password_temporary: boolean;
  /** Of a temporary one, in seconds; without it it has no end. */
  password_life_s?: number;
}

/**
 * @param before the hash that the old password was compared with, where it was
 * @returns false when that has been replaced since
 */
export async function setPassword(
  db: Db,
  accountId: string,
  { password_life_s, ...password }: NewPassword,
  before?: string | null,
): Promise<boolean> {
  let update = db
    .updateTable("operator_account")
    .set({ ...password, password_expires_at: endOf(password_life_s) })
    .where("account_id", "=", accountId);
  if (before !== undefined) update = update.where("password_hash", "=", before);
  const { numUpdatedRows } = await update.executeTakeFirst();
  return numUpdatedRows === 1n;
}

/**
 * Keeps an account from being changed until the transaction ends.
 * @param passwordHash of the password that was shown, where one was
 * @returns false when nobody may log in to it, or not by that password any more
 */
export async function lockLogin(
  tx: Tx,
  accountId: string,
  passwordHash: string | null | undefined,
): Promise<boolean> {
  let query = tx
    .selectFrom("operator_account")
    .select("account_id")
    .where("account_id", "=", accountId)
    .where("disabled_at", "is", null)
    .where("deleted_at", "is", null)
    .forShare();
  if (passwordHash !== undefined) query = query.where("password_hash", "=", passwordHash);
  return (await query.executeTakeFirst()) !== undefined;
}

/** Keeps the name, takes all else away. @returns the name; undefined when there is no such account */
export async function deleteAccount(db: Db, accountId: string): Promise<string | undefined> {
  const row = await db
    .updateTable("operator_account")
    .set({ deleted_at: new Date(), password_hash: null, display_name: null })
    .where("account_id", "=", accountId)
    .where("deleted_at", "is", null)
    .returning("name")
    .executeTakeFirst();
  return row?.name;
}

/** The account of whom an issuer vouches for. */
export async function externalAccount(
  db: Db,
  issuer: string,
  subject: string,
): Promise<
  | {
      account_id: string;
      name: string;
      role: Role;
      diagnostic_level: OperatorLevel | null;
      barred: boolean;
    }
  | undefined
> {
  const row = await db
    .selectFrom("operator_account")
    .select(["account_id", "name", "role", "diagnostic_level", "disabled_at", "deleted_at"])
    .where("issuer", "=", issuer)
    .where("subject", "=", subject)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { disabled_at, deleted_at, ...account } = row;
  return { ...account, barred: disabled_at !== null || deleted_at !== null };
}
