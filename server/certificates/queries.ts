import { randomUUIDv7 } from "node:crypto";
import { sql, type Selectable } from "kysely";
import type { RevocationReason, RevokedCertificate } from "#crypto/revocation-list.ts";
import type { CertificateRecord } from "#protocol/api/certificate.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { CertificateFacts } from "./record.ts";
import type { CertificateTable } from "./table.ts";

/**
 * Lets nobody else issue or revoke certificates of a vehicle until the transaction ends: a
 * revocation of all that it has must not miss one that is being issued.
 */
export async function lockCertificates(tx: Tx, vin: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`certificates ${vin}`}, 0))`.execute(
    tx,
  );
}

/** Lets nobody else revoke for `key_compromise` until the transaction ends; taken before other locks. */
export async function holdKeys(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock_shared(hashtextextended('compromised keys', 0))`.execute(
    tx,
  );
}

/**
 * Lets nobody issue a certificate until the transaction ends, so that none for a compromised key is
 * missed; taken before other locks.
 */
export async function lockKeys(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('compromised keys', 0))`.execute(tx);
}

/** Whether a certificate for this key was revoked because somebody else may have the key. */
export async function isCompromised(db: Db, key: string): Promise<boolean> {
  const row = await db
    .selectFrom("certificate")
    .select("fingerprint")
    .where("key_sha256", "=", key)
    .where("revocation_reason", "=", "key_compromise")
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Whether a certificate is revoked. Who revokes it from here on waits until the transaction ends. */
export async function isRevoked(tx: Tx, fingerprint: string): Promise<boolean> {
  const row = await tx
    .selectFrom("certificate")
    .select("revoked_at")
    .where("fingerprint", "=", fingerprint)
    .forShare()
    .executeTakeFirst();
  return row !== undefined && row.revoked_at !== null;
}

/** Takes down a certificate; one that is known already stays as it is. */
export async function recordCertificate(
  db: Db,
  facts: CertificateFacts & { issuer: string | null; issued_by: string },
): Promise<void> {
  await db
    .insertInto("certificate")
    .values({ ...facts, certificate_id: randomUUIDv7() })
    .onConflict((conflict) => conflict.column("fingerprint").doNothing())
    .execute();
}

/** How many certificates the vehicle was issued here since then. */
export async function countIssued(db: Db, vin: string, since: Date): Promise<number> {
  const { count } = await db
    .selectFrom("certificate")
    .select((each) => each.fn.countAll<number>().as("count"))
    .where("vin", "=", vin)
    .where("issued_at", ">", since)
    .where("issued_by", "<>", "external")
    .executeTakeFirstOrThrow();
  return count;
}

/** Certificates on record, newest first, from behind `cursor` on. */
export async function listCertificates(
  db: Db,
  filter: { limit: number; cursor?: string; vin?: string; revoked?: boolean },
): Promise<CertificateRecord[]> {
  let query = db
    .selectFrom("certificate")
    .selectAll()
    .orderBy("certificate_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("certificate_id", "<", filter.cursor);
  if (filter.vin !== undefined) query = query.where("vin", "=", filter.vin);
  if (filter.revoked !== undefined) {
    query = query.where("revoked_at", filter.revoked ? "is not" : "is", null);
  }
  return (await query.execute()).map(asRecord);
}

export interface Revocation {
  by: string;
  reason: RevocationReason;
}

/**
 * Revokes one certificate, or all on record of a vehicle, and for `key_compromise` all others that are
 * for the same keys, too. One that is revoked already stays as it is.
 * @returns all of these, also if they were revoked before
 */
export async function revokeCertificates(
  tx: Tx,
  choice: { fingerprint: string } | { vin: string },
  { by, reason }: Revocation,
): Promise<CertificateRecord[]> {
  if ("vin" in choice) await lockCertificates(tx, choice.vin);
  const chosen = reason === "key_compromise" ? withSameKeys(tx, choice) : named(tx, choice);
  await tx
    .updateTable("certificate")
    .set({ revoked_at: sql<Date>`now()`, revoked_by: by, revocation_reason: reason })
    .where("revoked_at", "is", null)
    .where("fingerprint", "in", chosen)
    .execute();
  const rows = await tx
    .selectFrom("certificate")
    .selectAll()
    .where("fingerprint", "in", chosen)
    .where("revoked_at", "is not", null)
    .orderBy("certificate_id", "desc")
    .limit(500)
    .execute();
  return rows.map(asRecord);
}

function named(tx: Tx, choice: { fingerprint: string } | { vin: string }) {
  return tx
    .selectFrom("certificate as named")
    .select("named.fingerprint")
    .where((where) => where.and(choice));
}

function withSameKeys(tx: Tx, choice: { fingerprint: string } | { vin: string }) {
  return named(tx, choice).union(
    tx
      .selectFrom("certificate as same")
      .select("same.fingerprint")
      .where("same.key_sha256", "in", named(tx, choice).clearSelect().select("named.key_sha256")),
  );
}

/** Certificates that were revoked after that moment, without those that expired longer ago than so. */
export async function revokedSince(
  db: Db,
  since: Date,
  expiredMs: number,
): Promise<{ fingerprint: string; not_after: Date; changed_at: Date }[]> {
  return db
    .selectFrom("certificate")
    .select(["fingerprint", "not_after"])
    .select((each) => each.ref("revoked_at").$notNull().as("changed_at"))
    .where("revoked_at", ">", since)
    .where("not_after", ">", sql<Date>`now() - ${expiredMs} * interval '1 millisecond'`)
    .execute();
}

/** The revoked certificates of an authority that expire after that moment, in the order of a list. */
export async function revokedOf(
  db: Db,
  issuer: string,
  since: Date,
): Promise<(RevokedCertificate & { notAfter: Date })[]> {
  const rows = await db
    .selectFrom("certificate")
    .select(["serial", "revocation_reason", "not_after"])
    .select((each) => each.ref("revoked_at").$notNull().as("revoked_at"))
    .where("issuer", "=", issuer)
    .where("revoked_at", "is not", null)
    .where("not_after", ">", since)
    .orderBy("revoked_at")
    .orderBy("serial")
    .execute();
  return rows.map(({ serial, revoked_at, revocation_reason, not_after }) => ({
    serial,
    revokedAt: revoked_at,
    reason: revocation_reason ?? "unspecified",
    notAfter: not_after,
  }));
}

/** Vehicles whose last certificate that holds expires before that moment. */
export async function countExpiring(db: Db, before: Date): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(distinct vin) as count from certificate as last
    where revoked_at is null and not_after > now() and not_after <= ${before.toISOString()}::timestamptz
      and not exists (
        select from certificate as later
        where later.vin = last.vin and later.revoked_at is null and later.not_after > last.not_after
      )
  `.execute(db);
  return rows[0]?.count ?? 0;
}

export async function insertEnrollmentToken(
  db: Db,
  token: {
    token_id: string;
    vin: string;
    token_sha256: Buffer;
    created_by: string;
    expires_at: Date;
  },
): Promise<void> {
  await db.insertInto("enrollment_token").values(token).execute();
}

/** Uses a token up. @returns whom it was for; undefined when it is unknown, used or expired */
export async function useEnrollmentToken(
  db: Db,
  tokenSha256: Buffer,
): Promise<{ token_id: string; vin: string } | undefined> {
  return db
    .updateTable("enrollment_token")
    .set({ used_at: sql<Date>`now()` })
    .where("token_sha256", "=", tokenSha256)
    .where("used_at", "is", null)
    .where("expires_at", ">", sql<Date>`now()`)
    .returning(["token_id", "vin"])
    .executeTakeFirst();
}

function asRecord(row: Selectable<CertificateTable>): CertificateRecord {
  const { issuer: _issuer, key_sha256: _key, ...shown } = row;
  return {
    ...shown,
    not_before: row.not_before.toISOString(),
    not_after: row.not_after.toISOString(),
    issued_at: row.issued_at.toISOString(),
    revoked_at: row.revoked_at?.toISOString() ?? null,
  };
}
