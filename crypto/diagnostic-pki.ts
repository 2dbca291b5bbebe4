import { rm } from "node:fs/promises";
import { isVehicleId } from "./identity.ts";
import type { KeyAlgorithm } from "./key-algorithm.ts";
import { PkiError } from "./pki-error.ts";
import { leafFiles, type CertificateFiles } from "./pki-layout.ts";
import {
  CLOCK_TOLERANCE_MS,
  ensureCertificate,
  issuingAuthority,
  loadIdentity,
  missing,
  roots,
} from "./pki.ts";
import { testerUris, VEHICLE_URI, type TesterRole } from "./tester-role.ts";
import type { TlsIdentity } from "./tls.ts";

export interface TesterCertificateRequest {
  /** Of the person or the device: 3 to 64 of A-Z a-z 0-9 . _ - */
  name: string;
  role: TesterRole;
  /** The vehicles that it is good for; by default all. */
  vehicles?: readonly string[];
  algorithm: KeyAlgorithm;
  /** Short, as an ECU asks nobody whether a certificate was revoked. */
  lifetimeMs: number;
  /** Puts a new certificate, of the same key, in the place of one that is there. */
  replace?: boolean;
  now?: Date;
}

/**
 * Makes a tester's client certificate unless there is one, for TLS to a car's connector and for the
 * Authentication service of its ECUs (ISO 14229-1, 29).
 * @throws PkiError PKI_TESTER_NAME_INVALID, PKI_VEHICLE_ID_INVALID, PKI_CERTIFICATE_MISSING,
 *   PKI_KEY_MISSING
 */
export async function issueTesterCertificate(
  folder: string,
  request: TesterCertificateRequest,
): Promise<CertificateFiles & { made: boolean }> {
  const { name, role, vehicles = [], algorithm, lifetimeMs, replace, now = new Date() } = request;
  for (const vehicle of vehicles) checkId(vehicle, "PKI_VEHICLE_ID_INVALID", "vehicle id");
  const files = testerFiles(folder, name, algorithm);
  const issuer = await issuingAuthority(folder, "tester", algorithm);
  if (replace === true) await rm(files.certificate, { force: true });
  const made = await ensureCertificate(files, {
    tree: "tester",
    level: "leaf",
    algorithm,
    commonName: name,
    uris: testerUris(role, vehicles),
    issuer: () => Promise.resolve(issuer),
    notBefore: new Date(now.getTime() - CLOCK_TOLERANCE_MS),
    notAfter: new Date(now.getTime() + lifetimeMs),
  });
  return { ...files, made };
}

/**
 * A tester's client certificate.
 * @throws PkiError PKI_CERTIFICATE_MISSING, PKI_KEY_MISSING, PKI_KEY_MISMATCH, PKI_TESTER_NAME_INVALID
 */
export async function loadTesterIdentity(
  folder: string,
  name: string,
  algorithm: KeyAlgorithm = "ecdsa-p256",
): Promise<TlsIdentity> {
  const files = testerFiles(folder, name, algorithm);
  const identity = await loadIdentity(files, algorithm);
  if (identity === undefined) throw missing(files.certificate);
  return identity;
}

/** What a car shows to testers, in years like those of the car's own client certificate. */
const CAR_VALID_MS = 825 * 86_400_000;

/**
 * The certificate by which a car's connector and ECUs prove to a tester which car they are; made
 * where there is none and the authority's key lies in the folder.
 * @throws PkiError PKI_VEHICLE_ID_INVALID, PKI_CERTIFICATE_MISSING, PKI_KEY_MISSING, PKI_KEY_MISMATCH
 */
export async function carIdentity(
  folder: string,
  vehicleId: string,
  algorithm: KeyAlgorithm = "ecdsa-p256",
  now = new Date(),
): Promise<TlsIdentity> {
  checkId(vehicleId, "PKI_VEHICLE_ID_INVALID", "vehicle id");
  const files = leafFiles(folder, "car", vehicleId, algorithm);
  await ensureCertificate(files, {
    tree: "car",
    level: "leaf",
    algorithm,
    commonName: vehicleId,
    uris: [VEHICLE_URI + vehicleId],
    issuer: () => issuingAuthority(folder, "car", algorithm),
    notBefore: new Date(now.getTime() - CLOCK_TOLERANCE_MS),
    notAfter: new Date(now.getTime() + CAR_VALID_MS),
  });
  const identity = await loadIdentity(files, algorithm);
  if (identity === undefined) throw missing(files.certificate);
  return identity;
}

/** PEM bundle of the roots that testers' certificates lead to. @throws PkiError when there is none. */
export function testerCa(folder: string): Promise<string> {
  return roots(folder, "tester");
}

/** PEM bundle of the roots that cars' certificates lead to. @throws PkiError when there is none. */
export function carCa(folder: string): Promise<string> {
  return roots(folder, "car");
}

function testerFiles(folder: string, name: string, algorithm: KeyAlgorithm): CertificateFiles {
  checkId(name, "PKI_TESTER_NAME_INVALID", "tester's name");
  return leafFiles(folder, "tester", name, algorithm);
}

/** These become file names. */
function checkId(
  id: string,
  code: "PKI_TESTER_NAME_INVALID" | "PKI_VEHICLE_ID_INVALID",
  what: string,
): void {
  if (!isVehicleId(id)) {
    throw new PkiError(code, `"${id}" is not a ${what}: 3 to 64 of A-Z a-z 0-9 . _ -`);
  }
}
