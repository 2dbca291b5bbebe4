import { X509Certificate } from "node:crypto";
import type { CertificateIssuer } from "#crypto/certificate-issuer.ts";
import type { RevokeAnswer, RevokeRequest } from "#protocol/api/certificate.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { follow, type Followed } from "#server/database/follow.ts";
import { REMEMBERED_MS, type Admission } from "#server/runtime/admission.ts";
import type { Log } from "#server/runtime/log.ts";
import { recordExternal } from "./issue.ts";
import { lockKeys, revokeCertificates, revokedSince } from "./queries.ts";
import type { RevocationLists } from "./revocation-list.ts";

/** Has listeners and lists take up revoked certificates, also those that another process revokes. */
export function followRevocations(deps: {
  db: Db;
  admission: Admission;
  lists: RevocationLists;
  everyMs: number | undefined;
  log: Log;
}): Promise<Followed> {
  const { db, admission, lists, everyMs, log } = deps;
  return follow({
    what: "revoked certificates",
    changedSince: (since) => revokedSince(db, since, REMEMBERED_MS),
    apply(rows) {
      admission.revoke(rows);
      lists.changed();
    },
    everyMs,
    log,
  });
}

export interface RevocationDeps {
  db: Db;
  issuer: CertificateIssuer;
  /** Has listeners and lists take up what is revoked now. */
  revocations: Followed;
  log: Log;
}

/**
 * Revokes certificates: from now on they are refused, and what they have open is cut.
 * @returns all that the request names, also those that were revoked before, and what it did not do
 * @throws ProblemError
 */
export async function revoke(
  { db, issuer, revocations, log }: RevocationDeps,
  request: RevokeRequest,
  by: string,
): Promise<RevokeAnswer> {
  const { fingerprint, certificate, vin, reason = "unspecified" } = request;
  const named = [fingerprint, certificate, vin].filter((each) => each !== undefined);
  if (named.length !== 1) {
    throw new ProblemError("REQUEST_INVALID", "name a fingerprint, a certificate or a vin");
  }
  const revoked = await db.transaction().execute(async (tx) => {
    if (reason === "key_compromise") await lockKeys(tx);
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
  return { items: revoked, warnings: vin === undefined ? [] : [notOnRecord(vin)] };
}

function notOnRecord(vin: string): string {
  return `certificates of ${vin} that are not on record still hold: one of the factory that it has never enrolled or renewed with is revoked by the certificate itself`;
}

function parse(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new ProblemError("CERTIFICATE_MALFORMED", "it is no certificate in PEM");
  }
}
