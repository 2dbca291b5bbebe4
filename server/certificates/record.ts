import { hash, type KeyObject, type X509Certificate } from "node:crypto";
import { certificateFields } from "#crypto/certificate-fields.ts";
import { isVehicleId } from "#crypto/identity.ts";
import { keyAlgorithmOf, type KeyAlgorithm } from "#crypto/key-algorithm.ts";

/** What is kept of a vehicle's certificate. */
export interface CertificateFacts {
  fingerprint: string;
  vin: string;
  serial: string;
  algorithm: KeyAlgorithm;
  key_sha256: string;
  not_before: Date;
  not_after: Date;
}

/** @returns undefined for one that could not be a vehicle's */
export function certificateFacts(certificate: X509Certificate): CertificateFacts | undefined {
  const vin = certificateFields(certificate.raw)?.commonName;
  const algorithm = keyAlgorithmOf(certificate.publicKey);
  if (vin === undefined || !isVehicleId(vin) || algorithm === undefined) return undefined;
  return {
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    vin,
    serial: certificate.serialNumber.toLowerCase(),
    algorithm,
    key_sha256: keySha256(certificate.publicKey),
    not_before: certificate.validFromDate,
    not_after: certificate.validToDate,
  };
}

/** Names a public key: SHA-256 of its SubjectPublicKeyInfo, lower-case hex. */
export function keySha256(publicKey: KeyObject): string {
  return hash("sha256", publicKey.export({ type: "spki", format: "der" }), "hex");
}
