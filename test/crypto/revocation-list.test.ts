import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { folderIssuer } from "#crypto/certificate-issuer.ts";
import { derInteger, derTime } from "#crypto/der-writer.ts";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki, issueVehicleCertificate } from "#crypto/pki.ts";
import type { RevokedCertificate } from "#crypto/revocation-list.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { temporaryFolder } from "./connection.ts";

const HOUR = 3_600_000;
const now = new Date();

function openssl(...args: string[]): string {
  const { stdout, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
  return stdout + stderr;
}

async function certificate(folder: string, vehicleId: string, algorithm: KeyAlgorithm) {
  const { certificate: file } = await issueVehicleCertificate(folder, { vehicleId, algorithm });
  return { file, serial: new X509Certificate(await readFile(file)).serialNumber.toLowerCase() };
}

/** A list in a file, with the authority that made it and two certificates, the first revoked. */
async function published(algorithm: KeyAlgorithm, revoked: Omit<RevokedCertificate, "serial">[]) {
  const folder = await temporaryFolder();
  await ensureDevelopmentPki(folder, { algorithms: [algorithm] });
  const bad = await certificate(folder, "VMG-001", algorithm);
  const good = await certificate(folder, "VMG-002", algorithm);
  const list = join(folder, "list.crl");
  const der = await folderIssuer(folder).revocationList(algorithm, {
    number: 258,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + HOUR),
    revoked: revoked.map((each) => ({ ...each, serial: bad.serial })),
  });
  await writeFile(list, der);
  const root = authorityFiles(folder, "vehicle", algorithm, "root").certificate;
  const issuing = authorityFiles(folder, "vehicle", algorithm, "issuing").certificate;
  const verify = (file: string) =>
    openssl("verify", "-crl_check", "-CRLfile", list, "-CAfile", root, "-untrusted", issuing, file);
  return { bad, good, list, issuing, verify };
}

describe.each([
  ["ecdsa-p256", "openssl"],
  ["ml-dsa-65", "openssl-3.5"],
] as const)("a revocation list of the %s authority", (algorithm, peer) => {
  test("is what OpenSSL takes it for, and refuses whom it names alone", async (context) => {
    requirePeer(context, peer);
    const pki = await published(algorithm, [{ revokedAt: now, reason: "key_compromise" }]);
    const text = openssl("crl", "-in", pki.list, "-CAfile", pki.issuing, "-noout", "-text");
    expect(text).toContain("verify OK");
    expect(text).toContain("Version 2 (0x1)");
    expect(text).toMatch(/X509v3 CRL Number: *\n *258/);
    expect(text).toMatch(/Authority Key Identifier/);
    expect(text).toContain("Key Compromise");
    expect(text.toLowerCase()).toContain(`serial number: ${pki.bad.serial}`);
    expect(text).toContain(`Next Update: ${opensslDate(new Date(now.getTime() + HOUR))}`);
    expect(pki.verify(pki.bad.file)).toMatch(/certificate revoked/);
    expect(pki.verify(pki.good.file)).toMatch(/: OK\n/);
  });

  test("without entries is a list, too", async (context) => {
    requirePeer(context, peer);
    const pki = await published(algorithm, []);
    const text = openssl("crl", "-in", pki.list, "-CAfile", pki.issuing, "-noout", "-text");
    expect(text).toContain("verify OK");
    expect(text).toContain("No Revoked Certificates");
    expect(pki.verify(pki.bad.file)).toMatch(/: OK\n/);
  });

  test("leaves the reason out that says nothing", async (context) => {
    requirePeer(context, peer);
    const pki = await published(algorithm, [{ revokedAt: now, reason: "unspecified" }]);
    const text = openssl("crl", "-in", pki.list, "-noout", "-text");
    expect(text).not.toContain("Reason Code");
    expect(pki.verify(pki.bad.file)).toMatch(/certificate revoked/);
  });
});

describe("DER", () => {
  test.each([
    [0, "020100"],
    [127, "02017f"],
    [128, "02020080"],
    [256, "02020100"],
    ["00ff", "020200ff"],
    ["7f01", "02027f01"],
    [2n ** 64n, "0209010000000000000000"],
  ])("writes the integer %s with as few bytes as hold it", (value, hex) => {
    expect(derInteger(value).toString("hex")).toBe(hex);
  });

  test("writes times up to 2049 with two digits for the year", () => {
    expect(derTime(new Date("2049-12-31T23:59:59.9Z")).toString("latin1")).toBe(
      "\u0017\r491231235959Z",
    );
    expect(derTime(new Date("2050-01-01T00:00:00Z")).toString("latin1")).toBe(
      "\u0018\u000f20500101000000Z",
    );
  });
});

/** `Nov  1 09:00:00 2026 GMT` */
function opensslDate(date: Date): string {
  const [, day = "", month, year, time] = date.toUTCString().split(/,? /);
  return `${month} ${String(Number(day)).padStart(2)} ${time} ${year} GMT`;
}
