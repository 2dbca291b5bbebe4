import { sql } from "kysely";
import type { OperatorSession } from "#protocol/api/operator.ts";
import type { Db } from "#server/database/connection.ts";
import "./table.ts";

/** How long what a login gives is good for, in seconds. */
export interface SessionTimes {
  accessS: number;
  /** Without a refresh. */
  idleS: number;
  /** With all refreshes. */
  wholeS: number;
}

const inSeconds = (seconds: number) => sql<Date>`now() + ${seconds} * interval '1 second'`;

export interface NewSession {
  token_id: string;
  account_id: string;
  name: string;
  token_sha256: Buffer;
  family_sha256: Buffer;
  refresh_sha256: Buffer;
  source: string;
  id_token_sha256?: Buffer;
}

/** @returns false when a session was made from the ID token before */
export async function insertSession(
  db: Db,
  session: NewSession,
  { accessS, idleS, wholeS }: SessionTimes,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto("operator_token")
    .values({
      ...session,
      kind: "session",
      role: null,
      access_expires_at: inSeconds(accessS),
      expires_at: inSeconds(Math.min(idleS, wholeS)),
      ends_at: inSeconds(wholeS),
      used_at: sql<Date>`now()`,
    })
    .onConflict((on) => on.column("id_token_sha256").doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/** Gives a session its next tokens, if the refresh token is its newest. @returns its id */
export async function refreshSession(
  db: Db,
  old: { family_sha256: Buffer; refresh_sha256: Buffer },
  next: { token_sha256: Buffer; refresh_sha256: Buffer; source: string },
  { accessS, idleS }: SessionTimes,
): Promise<string | undefined> {
  const row = await db
    .updateTable("operator_token as token")
    .set({
      ...next,
      access_expires_at: sql<Date>`least(${inSeconds(accessS)}, ends_at)`,
      expires_at: sql<Date>`least(${inSeconds(idleS)}, ends_at)`,
      used_at: sql<Date>`now()`,
    })
    .where("token.family_sha256", "=", old.family_sha256)
    .where("token.refresh_sha256", "=", old.refresh_sha256)
    .where("token.revoked_at", "is", null)
    .where("token.expires_at", ">", sql<Date>`now()`)
    .where((where) =>
      where.exists(
        where
          .selectFrom("operator_account as account")
          .select("account.account_id")
          .whereRef("account.account_id", "=", "token.account_id")
          .where("account.disabled_at", "is", null)
          .where("account.deleted_at", "is", null)
          .where((account) =>
            account.or([
              account("account.vouched_until", "is", null),
              account("account.vouched_until", ">", sql<Date>`now()`),
            ]),
          ),
      ),
    )
    .returning("token.token_id")
    .executeTakeFirst();
  return row?.token_id;
}

/** What was begun with it ends with it. */
export interface RevokedToken {
  token_id: string;
  name: string;
}

/** Ends the session whose newest refresh token is another than this one, which was used before. */
export async function revokeReused(
  db: Db,
  { family_sha256, refresh_sha256 }: { family_sha256: Buffer; refresh_sha256: Buffer },
): Promise<RevokedToken | undefined> {
  return db
    .updateTable("operator_token")
    .set({ revoked_at: sql<Date>`now()` })
    .where("family_sha256", "=", family_sha256)
    .where("refresh_sha256", "!=", refresh_sha256)
    .where("revoked_at", "is", null)
    .returning(["token_id", "name"])
    .executeTakeFirst();
}

/** The account that a session is of; undefined for an API token, and for one of the issuer. */
export async function accountOfSession(
  db: Db,
  tokenId: string,
): Promise<{ account_id: string } | undefined> {
  const row = await db
    .selectFrom("operator_token")
    .select("account_id")
    .where("token_id", "=", tokenId)
    .where("kind", "=", "session")
    .executeTakeFirst();
  return row && row.account_id !== null ? { account_id: row.account_id } : undefined;
}

/** Sessions of an account that are not over, newest first; `kept` at most. */
export async function listSessions(
  db: Db,
  accountId: string,
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): Promise<OperatorSession[]> {
  let query = db
    .selectFrom("operator_token")
    .select(["token_id", "kind", "created_at", "used_at", "expires_at", "source"])
    .where("account_id", "=", accountId)
    .where("kind", "!=", "api")
    .where("revoked_at", "is", null)
    .where("expires_at", ">", sql<Date>`now()`)
    .orderBy("token_id", "desc")
    .limit(limit);
  if (cursor !== undefined) query = query.where("token_id", "<", cursor);
  return (await query.execute()).map(
    ({ token_id, kind, created_at, used_at, expires_at, source }) => ({
      session_id: token_id,
      kind: kind === "oidc" ? kind : "session",
      created_at: created_at.toISOString(),
      used_at: (used_at ?? created_at).toISOString(),
      expires_at: (expires_at ?? created_at).toISOString(),
      source,
    }),
  );
}

/** Which sessions and tokens are to end. */
export interface RevocationChoice {
  account_id?: string | undefined;
  token_id?: string | undefined;
  /** All but this one. */
  except?: string | undefined;
  /** API tokens of the account too. */
  withApiTokens?: boolean;
}

/** Ends sessions, and perhaps API tokens, of accounts. @returns those that it ended */
export async function revokeSessions(
  db: Db,
  { account_id, token_id, except, withApiTokens = false }: RevocationChoice,
): Promise<RevokedToken[]> {
  let update = db
    .updateTable("operator_token")
    .set({ revoked_at: sql<Date>`now()` })
    .where("account_id", "is not", null)
    .where("revoked_at", "is", null);
  if (!withApiTokens) update = update.where("kind", "!=", "api");
  if (account_id !== undefined) update = update.where("account_id", "=", account_id);
  if (token_id !== undefined) update = update.where("token_id", "=", token_id);
  if (except !== undefined) update = update.where("token_id", "!=", except);
  return update.returning(["token_id", "name"]).execute();
}

/** Sessions and tokens of an account that are not over. */
export async function liveTokens(db: Db, accountId: string): Promise<RevokedToken[]> {
  return db
    .selectFrom("operator_token")
    .select(["token_id", "name"])
    .where("account_id", "=", accountId)
    .where("revoked_at", "is", null)
    .where((where) =>
      where.or([where("expires_at", "is", null), where("expires_at", ">", sql<Date>`now()`)]),
    )
    .execute();
}

/**
 * Remembers a token of the issuer that was verified, until it ends or is to be verified again.
 * @returns its id; undefined when it was revoked here
 */
export async function rememberIssued(
  db: Db,
  token: {
    token_id: string;
    account_id: string;
    name: string;
    token_sha256: Buffer;
    expires_at: Date;
    ends_at: Date;
  },
): Promise<string | undefined> {
  const row = await db
    .insertInto("operator_token")
    .values({ ...token, kind: "oidc", role: null, used_at: sql<Date>`now()` })
    .onConflict((on) =>
      on
        .column("token_sha256")
        .doUpdateSet({ expires_at: token.expires_at, used_at: sql<Date>`now()` })
        .where("operator_token.revoked_at", "is", null),
    )
    .returning("token_id")
    .executeTakeFirst();
  return row?.token_id;
}
