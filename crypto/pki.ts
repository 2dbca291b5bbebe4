import { createPublicKey, type KeyObject } from "node:crypto";
import { chmod, mkdir } from "node:fs/promises";
import { isIP } from "node:net";
import {
  CertificateTree,
  issueCertificate,
  parseCertificate,
  type CertificateLevel,
  type Issuer,
} from "./certificate.ts";
import { readIfPresent, writeExclusive } from "./exclusive-file.ts";
import { isVehicleId } from "./identity.ts";
import { HYBRID_ALGORITHMS, KeyAlgorithm } from "./key-algorithm.ts";
import { authorityFiles, serverFiles, vehicleFiles, type CertificateFiles } from "./pki-layout.ts";
import { PkiError } from "./pki-error.ts";
import { ensurePrivateKey, parsePrivateKey, privateKeyPem } from "./private-key.ts";
import type { TlsIdentity } from "./tls.ts";

export interface DevelopmentPkiSettings {
  /** Host names and IP addresses of the server's certificates, beside those of this machine. */
  hostNames?: readonly string[];
  /** Key algorithms to make chains for; by default ECDSA P-256 and ML-DSA-65. */
  algorithms?: readonly KeyAlgorithm[];
  now?: Date;
}

export interface DevelopmentPki {
  /** Certificate files that this call made. */
  made: string[];
  /** What an operator should know about files that were there and were left as they are. */
  problems: string[];
}

/**
 * Makes what is missing of a development PKI: for each tree, per algorithm, a root and an issuing
 * authority, and the gateway's own certificate. Never overwrites a file; several
 * processes may run it at once on one folder.
 *
 * A key always exists before its certificate and the first one on disk counts, so whoever issues
 * the certificate, it matches the key.
 * @throws PkiError PKI_HOST_NAME_INVALID, PKI_KEY_MISSING
 */
export async function ensureDevelopmentPki(
  folder: string,
  settings: DevelopmentPkiSettings = {},
): Promise<DevelopmentPki> {
  const { algorithms = HYBRID_ALGORITHMS, now = new Date() } = settings;
  const hostNames = [...new Set([...LOCAL_NAMES, ...(settings.hostNames ?? []).map(hostName)])];
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const pki: DevelopmentPki = { made: [], problems: [] };
  for (const algorithm of algorithms) {
    for (const tree of CertificateTree) await ensureAuthorities(folder, tree, algorithm, now, pki);
    const files = serverFiles(folder, algorithm);
    const made = await ensureCertificate(files, {
      tree: "server",
      level: "leaf",
      algorithm,
      commonName: "Latticeway gateway",
      hostNames,
      issuer: () => issuingAuthority(folder, "server", algorithm),
      ...validity("leaf", now),
    });
    if (made) pki.made.push(files.certificate);
    else pki.problems.push(...(await serverProblems(files, hostNames, now)));
  }
  return pki;
}

/**
 * Demands what a gateway's listeners can't do without: its own certificates with their keys, and a
 * root that vehicles' certificates lead to. Makes nothing.
 * @returns what an operator should know about them
 * @throws PkiError PKI_MISSING, which names the files; PKI_CERTIFICATE_UNREADABLE
 */
export async function demandPki(
  folder: string,
  algorithms: readonly KeyAlgorithm[],
  now = new Date(),
): Promise<string[]> {
  const servers = algorithms.map((algorithm) => serverFiles(folder, algorithm));
  const missingFiles = await absent(servers.flatMap(({ certificate, key }) => [certificate, key]));
  const rootFiles = authorityRoots(folder, "vehicle");
  if ((await absent(rootFiles)).length === rootFiles.length) {
    const [root = ""] = algorithms.map(
      (algorithm) => authorityFiles(folder, "vehicle", algorithm, "root").certificate,
    );
    missingFiles.push(root);
  }
  if (missingFiles.length > 0) {
    const advice = `put your own there (certs/README.md), or make some by \`npm run certs -- --dir ${folder}\``;
    throw new PkiError("PKI_MISSING", `missing: ${missingFiles.join(", ")}; ${advice}`);
  }
  const expired = servers.map(async ({ certificate }) => {
    const pem = (await readIfPresent(certificate)) ?? "";
    const { validTo, validToDate } = parseCertificate(certificate, pem);
    return validToDate < now ? [`${certificate} expired on ${validTo}`] : [];
  });
  return (await Promise.all(expired)).flat();
}

export interface VehicleCertificateRequest {
  vehicleId: string;
  /** Default `ecdsa-p256`. */
  algorithm?: KeyAlgorithm;
  notBefore?: Date;
  notAfter?: Date;
  now?: Date;
}

/**
 * Makes a vehicle's client certificate unless there is one, which is left as it is.
 * @throws PkiError PKI_VEHICLE_ID_INVALID, PKI_CERTIFICATE_MISSING, PKI_KEY_MISSING
 */
export async function issueVehicleCertificate(
  folder: string,
  request: VehicleCertificateRequest,
): Promise<CertificateFiles & { made: boolean }> {
  const { vehicleId, algorithm = "ecdsa-p256", now = new Date() } = request;
  const files = vehicleFiles(folder, checkedVehicleId(vehicleId), algorithm);
  const period = validity("leaf", now);
  const made = await ensureCertificate(files, {
    tree: "vehicle",
    level: "leaf",
    algorithm,
    commonName: vehicleId,
    issuer: () => issuingAuthority(folder, "vehicle", algorithm),
    notBefore: request.notBefore ?? period.notBefore,
    notAfter: request.notAfter ?? period.notAfter,
  });
  return { ...files, made };
}

/** The gateway's certificates, one per algorithm that has one. @throws PkiError */
export async function loadServerIdentities(folder: string): Promise<TlsIdentity[]> {
  const identities = await Promise.all(
    KeyAlgorithm.map((algorithm) => loadIdentity(serverFiles(folder, algorithm), algorithm)),
  );
  return identities.filter((identity) => identity !== undefined);
}

/**
 * A vehicle's client certificate.
 * @throws PkiError PKI_CERTIFICATE_MISSING, PKI_KEY_MISSING, PKI_KEY_MISMATCH, PKI_VEHICLE_ID_INVALID
 */
export async function loadVehicleIdentity(
  folder: string,
  vehicleId: string,
  algorithm: KeyAlgorithm = "ecdsa-p256",
): Promise<TlsIdentity> {
  const files = vehicleFiles(folder, checkedVehicleId(vehicleId), algorithm);
  const identity = await loadIdentity(files, algorithm);
  if (identity === undefined) throw missing(files.certificate);
  return identity;
}

/** PEM bundle of the roots that vehicles' certificates lead to. @throws PkiError when there is none. */
export function vehicleCa(folder: string): Promise<string> {
  return roots(folder, "vehicle");
}

/** PEM bundle of the roots that servers' certificates lead to. @throws PkiError when there is none. */
export function serverCa(folder: string): Promise<string> {
  return roots(folder, "server");
}

/** When the servers' and the authorities' certificates expire, named `{place}/{algorithm}`. */
export async function readPkiCertificates(
  folder: string,
): Promise<{ name: string; notAfter: Date }[]> {
  const found = KeyAlgorithm.flatMap((algorithm) => [
    { name: `server/${algorithm}`, file: serverFiles(folder, algorithm).certificate },
    ...(["server", "vehicle"] as const).flatMap((tree) =>
      (["root", "issuing"] as const).map((level) => ({
        name: `${tree}-ca/${algorithm}/${level}`,
        file: authorityFiles(folder, tree, algorithm, level).certificate,
      })),
    ),
  ]);
  const read = found.map(async ({ name, file }) => {
    const pem = await readIfPresent(file);
    return pem === undefined ? [] : [{ name, notAfter: parseCertificate(file, pem).validToDate }];
  });
  return (await Promise.all(read)).flat();
}

const CERTIFICATE_MODE = 0o644;
const LOCAL_NAMES = ["localhost", "127.0.0.1", "::1"];
const HOST_NAME = /^(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const DAY = 86_400_000;
/** A vehicle's clock may run behind the one that issues. */
export const CLOCK_TOLERANCE_MS = 3_600_000;
const VALID_DAYS: Record<CertificateLevel, number> = { root: 7300, issuing: 3650, leaf: 825 };

export interface WantedCertificate {
  tree: CertificateTree;
  level: CertificateLevel;
  algorithm: KeyAlgorithm;
  commonName: string;
  hostNames?: readonly string[];
  uris?: readonly string[];
  notBefore: Date;
  notAfter: Date;
  /** Undefined for a root, which signs itself. */
  issuer: (() => Promise<Issuer>) | undefined;
}

/**
 * Makes a certificate, and its key, unless there is one.
 * @returns whether it was made
 */
export async function ensureCertificate(
  files: CertificateFiles,
  wanted: WantedCertificate,
): Promise<boolean> {
  if ((await readIfPresent(files.certificate)) !== undefined) return false;
  const issuer = await wanted.issuer?.();
  const privateKey = await ensurePrivateKey(files.key, wanted.algorithm);
  const certificate = await issueCertificate({
    ...wanted,
    publicKey: createPublicKey(privateKey),
    issuer: issuer ?? { certificate: undefined, privateKey },
  });
  const behind = wanted.level === "leaf" ? (issuer?.certificate ?? "") : "";
  return writeExclusive(files.certificate, certificate + behind, CERTIFICATE_MODE);
}

async function ensureAuthorities(
  folder: string,
  tree: CertificateTree,
  algorithm: KeyAlgorithm,
  now: Date,
  pki: DevelopmentPki,
): Promise<void> {
  for (const level of ["root", "issuing"] as const) {
    const files = authorityFiles(folder, tree, algorithm, level);
    const made = await ensureCertificate(files, {
      tree,
      level,
      algorithm,
      commonName: `Latticeway development ${tree} ${level} CA (${algorithm})`,
      issuer:
        level === "root"
          ? undefined
          : () => loadIssuer(authorityFiles(folder, tree, algorithm, "root")),
      ...validity(level, now),
    });
    if (made) pki.made.push(files.certificate);
  }
}

/** @throws PkiError PKI_CERTIFICATE_MISSING, PKI_KEY_MISSING, PKI_KEY_MISMATCH */
export function issuingAuthority(
  folder: string,
  tree: CertificateTree,
  algorithm: KeyAlgorithm,
): Promise<Issuer> {
  return loadIssuer(authorityFiles(folder, tree, algorithm, "issuing"));
}

async function loadIssuer(files: CertificateFiles): Promise<Issuer> {
  const [certificate, key] = await Promise.all([
    readIfPresent(files.certificate),
    readIfPresent(files.key),
  ]);
  if (certificate === undefined) throw missing(files.certificate);
  return { certificate, privateKey: matchingKey(files, certificate, key) };
}

/** A certificate and its key; undefined where there is no such certificate. @throws PkiError */
export async function loadIdentity(
  files: CertificateFiles,
  algorithm: KeyAlgorithm,
): Promise<TlsIdentity | undefined> {
  const [chain, key] = await Promise.all([
    readIfPresent(files.certificate),
    readIfPresent(files.key),
  ]);
  if (chain === undefined) return undefined;
  const privateKey = matchingKey(files, chain, key);
  return { algorithm, chain, key: privateKeyPem(privateKey) };
}

function matchingKey(
  files: CertificateFiles,
  certificate: string,
  key: string | undefined,
): KeyObject {
  if (key === undefined) {
    throw new PkiError(
      "PKI_KEY_MISSING",
      `${files.key}: the key of ${files.certificate} is missing`,
    );
  }
  const privateKey = parsePrivateKey(files.key, key);
  if (!parseCertificate(files.certificate, certificate).checkPrivateKey(privateKey)) {
    throw new PkiError(
      "PKI_KEY_MISMATCH",
      `${files.key} is not the key of ${files.certificate}; remove both to have them made again`,
    );
  }
  return privateKey;
}

/** PEM bundle of a tree's roots. @throws PkiError PKI_CERTIFICATE_MISSING */
export async function roots(folder: string, tree: CertificateTree): Promise<string> {
  const files = authorityRoots(folder, tree);
  const found = (await Promise.all(files.map(readIfPresent))).filter((pem) => pem !== undefined);
  if (found.length === 0) throw missing(files.join(" or "));
  return found.join("");
}

function authorityRoots(folder: string, tree: CertificateTree): string[] {
  return KeyAlgorithm.map(
    (algorithm) => authorityFiles(folder, tree, algorithm, "root").certificate,
  );
}

async function absent(files: readonly string[]): Promise<string[]> {
  const present = await Promise.all(files.map(readIfPresent));
  return files.filter((_file, index) => present[index] === undefined);
}

async function serverProblems(
  files: CertificateFiles,
  hostNames: readonly string[],
  now: Date,
): Promise<string[]> {
  const pem = await readIfPresent(files.certificate);
  if (pem === undefined) return [];
  const certificate = parseCertificate(files.certificate, pem);
  const again = `remove ${files.certificate} and ${files.key} to have them made again`;
  const problems = hostNames
    .filter(
      (name) =>
        (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) === undefined,
    )
    .map((name) => `${files.certificate} is not for ${name}: ${again}`);
  if (certificate.validToDate < now) {
    problems.push(`${files.certificate} expired on ${certificate.validTo}: ${again}`);
  }
  return problems;
}

function validity(level: CertificateLevel, now: Date): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: new Date(now.getTime() - CLOCK_TOLERANCE_MS),
    notAfter: new Date(now.getTime() + VALID_DAYS[level] * DAY),
  };
}

function hostName(name: string): string {
  if (isIP(name) === 0 && !HOST_NAME.test(name)) {
    throw new PkiError(
      "PKI_HOST_NAME_INVALID",
      `"${name}" is neither a host name nor an IP address`,
    );
  }
  return name;
}

function checkedVehicleId(vehicleId: string): string {
  if (!isVehicleId(vehicleId)) {
    throw new PkiError(
      "PKI_VEHICLE_ID_INVALID",
      `"${vehicleId}" is not a vehicle id: 3 to 64 of A-Z a-z 0-9 . _ -`,
    );
  }
  return vehicleId;
}

export function missing(file: string): PkiError {
  return new PkiError("PKI_CERTIFICATE_MISSING", `${file}: there is no such certificate`);
}
