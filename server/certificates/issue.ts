import { X509Certificate } from "node:crypto";
import type { CertificateIssuer } from "#crypto/certificate-issuer.ts";
import {
  CsrError,
  readCertificateRequest,
  type CertificateSigningRequest,
} from "#crypto/certificate-request.ts";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { PkiError } from "#crypto/pki-error.ts";
import type { IssuedCertificate } from "#protocol/api/certificate.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import {
  countIssued,
  holdKeys,
  isCompromised,
  isRevoked,
  lockCertificates,
  recordCertificate,
  useEnrollmentToken,
} from "./queries.ts";
import { certificateFacts, keySha256 } from "./record.ts";

export interface IssueDeps {
  db: Db;
  issuer: CertificateIssuer;
  /** Kinds of keys that some enabled TLS profile uses. */
  algorithms: readonly KeyAlgorithm[];
  lifetimeMs: number;
  log: Log;
}

/**
 * Issues a certificate to whoever has the token, for the vehicle that it was made for. The token is
 * used up by it, and only by it: a request that is refused leaves the token as it was.
 * @throws ProblemError
 */
export async function enrollByToken(
  deps: IssueDeps,
  request: { csr: string; tokenSha256: Buffer },
): Promise<IssuedCertificate> {
  const csr = readRequest(request.csr, deps.algorithms);
  return deps.db.transaction().execute(async (tx) => {
    const token = await useEnrollmentToken(tx, request.tokenSha256);
    if (token === undefined) throw new ProblemError("ENROLLMENT_TOKEN_INVALID");
    await holdKeys(tx);
    await lockCertificates(tx, token.vin);
    return issue(deps, tx, csr, { vin: token.vin, by: `token:${token.token_id}` });
  });
}

/**
 * Issues a certificate to a vehicle that has one: its factory's, or the one before.
 * @param shown the certificate of its connection
 * @throws ProblemError
 */
export async function issueToVehicle(
  deps: IssueDeps,
  request: { csr: string; vin: string; shown: X509Certificate; by: string },
): Promise<IssuedCertificate> {
  const { vin, by, shown } = request;
  const csr = readRequest(request.csr, deps.algorithms);
  return deps.db.transaction().execute(async (tx) => {
    await holdKeys(tx);
    await lockCertificates(tx, vin);
    const { fingerprint } = await recordExternal(tx, deps.issuer, shown);
    // The connection may be older than a revocation of which this process has not heard.
    if (await isRevoked(tx, fingerprint)) {
      throw new ProblemError("CLIENT_CERTIFICATE_REJECTED", "the certificate has been revoked");
    }
    return issue(deps, tx, csr, { vin, by });
  });
}

/**
 * Takes down a certificate that was not issued here, so that it can be listed and revoked.
 * @throws ProblemError CERTIFICATE_MALFORMED when it could not be a vehicle's
 */
export async function recordExternal(
  db: Db,
  issuer: CertificateIssuer,
  certificate: X509Certificate,
): Promise<{ fingerprint: string }> {
  const facts = certificateFacts(certificate);
  if (facts === undefined) {
    throw new ProblemError("CERTIFICATE_MALFORMED", "its subject or its key is not a vehicle's");
  }
  const authority = await issuer.authorityOf(certificate);
  await recordCertificate(db, { ...facts, issuer: authority ?? null, issued_by: "external" });
  return facts;
}

const DAY = 86_400_000;
const MOST_A_DAY = 24;

function readRequest(csr: string, algorithms: readonly KeyAlgorithm[]): CertificateSigningRequest {
  let request: CertificateSigningRequest;
  try {
    request = readCertificateRequest(csr);
  } catch (error) {
    if (error instanceof CsrError) throw new ProblemError(error.code, error.message);
    throw error;
  }
  if (!algorithms.includes(request.algorithm)) {
    const known = algorithms.join(", ");
    throw new ProblemError(
      "CSR_ALGORITHM_UNSUPPORTED",
      `no enabled TLS profile uses ${request.algorithm} keys, but ${known}`,
    );
  }
  return request;
}

async function issue(
  { issuer, lifetimeMs, log }: IssueDeps,
  tx: Tx,
  { commonName, publicKey, algorithm }: CertificateSigningRequest,
  { vin, by }: { vin: string; by: string },
): Promise<IssuedCertificate> {
  if (commonName !== vin) {
    throw new ProblemError(
      "CSR_SUBJECT_MISMATCH",
      `the request is for ${commonName === undefined ? "nobody" : "another id"}, not for ${vin}`,
    );
  }
  if (await isCompromised(tx, keySha256(publicKey))) {
    throw new ProblemError("CSR_KEY_COMPROMISED");
  }
  if ((await countIssued(tx, vin, new Date(Date.now() - DAY))) >= MOST_A_DAY) {
    throw new ProblemError("CERTIFICATES_TOO_MANY");
  }
  const chain = await available(issuer.issue({ vehicleId: vin, publicKey, lifetimeMs }));
  const facts = certificateFacts(new X509Certificate(chain));
  if (facts === undefined) throw new Error("the issuer answered with no vehicle's certificate");
  const authority = await issuer.authority(algorithm);
  await recordCertificate(tx, { ...facts, issuer: authority, issued_by: by });
  const { fingerprint, serial, not_before, not_after } = facts;
  log.info({ vehicle: vin, serial, fingerprint, by, algorithm }, "Certificate issued");
  return {
    certificate: chain,
    fingerprint,
    serial,
    not_before: not_before.toISOString(),
    not_after: not_after.toISOString(),
  };
}

async function available<Result>(issued: Promise<Result>): Promise<Result> {
  try {
    return await issued;
  } catch (error) {
    if (error instanceof PkiError) throw new ProblemError("ISSUER_UNAVAILABLE", error.message);
    throw error;
  }
}
