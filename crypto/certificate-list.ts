import type { X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseCertificate } from "./certificate.ts";
import { keyAlgorithmOf, KeyAlgorithm } from "./key-algorithm.ts";
import { PkiError } from "./pki-error.ts";
import { certificateFolders } from "./pki-layout.ts";
import { ROLE_URI, VEHICLE_URI } from "./tester-role.ts";

/** A certificate as people ask about it. Times are RFC 3339, UTC. */
export interface CertificateSummary {
  file: string;
  subject: string;
  issuer: string;
  /** `ecdsa-p256`, `ml-dsa-65` …; Node's name for another kind of key. */
  algorithm: string;
  use: "authority" | "server" | "vehicle" | "tester" | "car";
  /** Host names and IP addresses of a server's certificate, URIs of a tester's and a car's. */
  names: string[];
  not_before: string;
  not_after: string;
  serial: string;
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string;
}

/** Every certificate of a PKI folder, authorities first. @throws PkiError PKI_CERTIFICATE_UNREADABLE */
export async function listCertificates(folder: string): Promise<CertificateSummary[]> {
  const summaries: CertificateSummary[] = [];
  for (const part of certificateFolders(KeyAlgorithm)) {
    for (const name of await certificateNames(join(folder, part))) {
      summaries.push(await readCertificate(join(folder, part, name)));
    }
  }
  return summaries;
}

/** The (first) certificate of a PEM file. @throws PkiError PKI_CERTIFICATE_UNREADABLE */
export async function readCertificate(file: string): Promise<CertificateSummary> {
  const certificate = parseCertificate(file, await readText(file));
  const { publicKey } = certificate;
  return {
    file,
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    algorithm: keyAlgorithmOf(publicKey) ?? String(publicKey.asymmetricKeyType),
    use: useOf(certificate),
    names: alternativeNames(certificate),
    not_before: certificate.validFromDate.toISOString(),
    not_after: certificate.validToDate.toISOString(),
    serial: certificate.serialNumber.toLowerCase(),
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
  };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new PkiError("PKI_CERTIFICATE_UNREADABLE", (error as Error).message);
  }
}

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

function useOf(certificate: X509Certificate): CertificateSummary["use"] {
  if (certificate.ca) return "authority";
  const names = alternativeNames(certificate);
  if (certificate.keyUsage.includes(SERVER_AUTH)) {
    return names.some((name) => name.startsWith(VEHICLE_URI)) ? "car" : "server";
  }
  return names.some((name) => name.startsWith(ROLE_URI)) ? "tester" : "vehicle";
}

/** Node writes them as `DNS:localhost, IP Address:127.0.0.1`, a URI as `URI:urn:…`. */
function alternativeNames(certificate: X509Certificate): string[] {
  const text = certificate.subjectAltName;
  if (text === undefined) return [];
  return text.split(", ").map((name) => name.replace(/^(?:DNS|IP Address|URI):/, ""));
}

async function certificateNames(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => name.endsWith(".pem") && !name.startsWith(".")).sort();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

function oneLine(name: string): string {
  return name.split("\n").join(", ");
}
