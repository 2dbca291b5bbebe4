import { X509Certificate } from "node:crypto";
import { sql } from "kysely";
import type { CertificateIssuer } from "#crypto/certificate-issuer.ts";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { PkiError } from "#crypto/pki-error.ts";
import type { CertificateRecord, RevokeRequest } from "#protocol/api/certificate.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { follow, type Followed } from "#server/database/follow.ts";
import { REMEMBERED_MS, type Admission } from "#server/runtime/admission.ts";
import type { Log } from "#server/runtime/log.ts";
import { recordExternal } from "./issue.ts";
import { revokeCertificates, revokedOf, revokedSince } from "./queries.ts";
import "./table.ts";

/** Has the listeners refuse revoked certificates, also those that another process revokes. */
export function followRevocations(deps: {
  db: Db;
  admission: Admission;
  everyMs: number | undefined;
  log: Log;
}): Promise<Followed> {
  const { db, admission, everyMs, log } = deps;
  return follow({
    what: "revoked certificates",
    changedSince: (since) => revokedSince(db, since, REMEMBERED_MS),
    apply: (rows) => admission.revoke(rows),
    everyMs,
    log,
  });
}

export interface RevocationDeps {
  db: Db;
  issuer: CertificateIssuer;
  /** Has the listeners take up what is revoked now. */
  revocations: Followed;
  log: Log;
}

/**
 * Revokes certificates: from now on they are refused, and what they have open is cut.
 * @returns all that the request names, also those that were revoked before
 * @throws ProblemError
 */
export async function revoke(
  { db, issuer, revocations, log }: RevocationDeps,
  request: RevokeRequest,
  by: string,
): Promise<CertificateRecord[]> {
  const { fingerprint, certificate, vin, reason = "unspecified" } = request;
  const named = [fingerprint, certificate, vin].filter((each) => each !== undefined);
  if (named.length !== 1) {
    throw new ProblemError("REQUEST_INVALID", "name a fingerprint, a certificate or a vin");
  }
  const revoked = await db.transaction().execute(async (tx) => {
    const choice =
      certificate !== undefined
        ? { fingerprint: (await recordExternal(tx, issuer, parse(certificate))).fingerprint }
        : vin !== undefined
          ? { vin }
          : { fingerprint: fingerprint ?? "" };
    return revokeCertificates(tx, choice, { by, reason });
  });
  if (revoked.length === 0) {
    const detail = "one that was not issued here is revoked by the certificate itself";
    throw new ProblemError("CERTIFICATE_UNKNOWN", detail);
  }
  await revocations.refresh();
  for (const { vin: vehicle, serial, revocation_reason } of revoked) {
    log.warn({ vehicle, serial, by, reason: revocation_reason }, "Certificate revoked");
  }
  return revoked;
}

/**
 * The list of certificates of one authority that are revoked (RFC 5280), signed by it: the one made
 * last, or a new one when something has changed or half of its time is over.
 * @throws ProblemError ISSUER_UNAVAILABLE
 */
export async function currentRevocationList(
  { db, issuer, hours }: { db: Db; issuer: CertificateIssuer; hours: number },
  algorithm: KeyAlgorithm,
): Promise<Buffer> {
  const lifetime = hours * HOUR;
  try {
    const authority = await issuer.authority(algorithm);
    return await db.transaction().execute(async (tx) => {
      const last = await lockedList(tx, authority);
      const revoked = await revokedOf(tx, authority);
      const thisUpdate = await databaseTime(tx);
      const isFresh =
        last.entries === revoked.length &&
        thisUpdate.getTime() - last.this_update.getTime() < lifetime / 2 &&
        last.next_update > thisUpdate &&
        revoked.every(({ revokedAt }) => revokedAt < last.this_update);
      if (isFresh) return last.der;
      const nextUpdate = new Date(thisUpdate.getTime() + lifetime);
      const number = last.number + 1;
      const content = { number, thisUpdate, nextUpdate, revoked };
      const der = await issuer.revocationList(algorithm, content);
      await tx
        .updateTable("revocation_list")
        .set({
          number,
          this_update: thisUpdate,
          next_update: nextUpdate,
          entries: revoked.length,
          der,
        })
        .where("issuer", "=", authority)
        .execute();
      return der;
    });
  } catch (error) {
    if (error instanceof PkiError) throw new ProblemError("ISSUER_UNAVAILABLE", error.message);
    throw error;
  }
}

const HOUR = 3_600_000;
const NEVER = new Date(0);

/** Two requests at once must not make two lists with one number. */
async function lockedList(tx: Tx, issuer: string) {
  const none = { number: 0, this_update: NEVER, next_update: NEVER, entries: 0 };
  await tx
    .insertInto("revocation_list")
    .values({ issuer, ...none, der: Buffer.alloc(0) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return tx
    .selectFrom("revocation_list")
    .selectAll()
    .where("issuer", "=", issuer)
    .forUpdate()
    .executeTakeFirstOrThrow();
}

/** Revocations carry the database's time; that of this process may be behind it. */
async function databaseTime(tx: Tx): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(tx);
  return rows[0]?.now ?? new Date();
}

function parse(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new ProblemError("CERTIFICATE_MALFORMED", "it is no certificate in PEM");
  }
}
