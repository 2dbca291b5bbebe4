import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CsrError,
  makeCertificateRequest,
  MAX_CSR_LENGTH,
  readCertificateRequest,
} from "#crypto/certificate-request.ts";
import { der, derBits, derInteger, derSequenceOf } from "#crypto/der-writer.ts";
import { generateKeys, KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { privateKeyPem } from "#crypto/private-key.ts";
import { signatureAlgorithm } from "#crypto/signature-algorithm.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { temporaryFolder } from "./connection.ts";

const codeOf = (text: string): string => {
  try {
    readCertificateRequest(text);
  } catch (error) {
    if (error instanceof CsrError) return error.code;
    throw error;
  }
  return "read";
};

/** The DER of a PEM text. */
const derOf = (pem: string) => Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ""), "base64");
const openssl = (...args: string[]) =>
  execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] }).toString();

describe("a certificate request", () => {
  test.each(KeyAlgorithm)("with an %s key is read as it was made", (algorithm) => {
    const { publicKey, privateKey } = generateKeys(algorithm);
    const pem = makeCertificateRequest("VMG-001", privateKey);
    expect(pem.length).toBeLessThan(MAX_CSR_LENGTH);
    for (const text of [pem, derOf(pem).toString("base64"), `\n${pem}\n`]) {
      const request = readCertificateRequest(text);
      expect(request).toMatchObject({ commonName: "VMG-001", algorithm });
      expect(request.publicKey.equals(publicKey)).toBe(true);
    }
  });

  test("of ours is one to OpenSSL, and one of OpenSSL's is read, whatever else it asks for", async (context) => {
    requirePeer(context, "openssl");
    const folder = await temporaryFolder();
    const { privateKey } = generateKeys("ecdsa-p256");
    const files = { csr: join(folder, "a.csr"), key: join(folder, "a.key") };
    await writeFile(files.csr, makeCertificateRequest("VMG-001", privateKey));
    const text = openssl("req", "-in", files.csr, "-verify", "-noout", "-subject");
    expect(text).toMatch(/CN ?= ?VMG-001/);
    await writeFile(files.key, privateKeyPem(privateKey));
    const subject = ["-subj", "/O=Somebody/CN=VMG-002"];
    const wishes = ["-addext", "basicConstraints=CA:TRUE", "-addext", "subjectAltName=DNS:gateway"];
    openssl("req", "-new", "-key", files.key, ...subject, ...wishes, "-out", files.csr);
    const request = readCertificateRequest(await readFile(files.csr, "utf8"));
    expect(request.commonName).toBe("VMG-002");
    expect(Object.keys(request).sort()).toEqual(["algorithm", "commonName", "publicKey"]);
  });

  test("that another key signed is refused", () => {
    const bytes = derOf(makeCertificateRequest("VMG-001", generateKeys("ecdsa-p256").privateKey));
    const other = derOf(makeCertificateRequest("VMG-001", generateKeys("ecdsa-p256").privateKey));
    // The point of the key lies behind the OIDs of the algorithm and the curve, with a fixed length.
    const at = bytes.indexOf(Buffer.from("2a8648ce3d030107", "hex")) + 8 + 4;
    other.copy(bytes, at, at, at + 64);
    expect(codeOf(bytes.toString("base64"))).toBe("CSR_SIGNATURE_INVALID");
  });

  test.each(KeyAlgorithm)("with an %s key that was altered anywhere is refused", (algorithm) => {
    const bytes = derOf(makeCertificateRequest("VMG-001", generateKeys(algorithm).privateKey));
    const step = algorithm === "ecdsa-p256" ? 1 : 97;
    for (let at = 0; at < bytes.length; at += step) {
      const altered = Buffer.from(bytes);
      altered[at] = (altered[at] ?? 0) ^ 0x04;
      expect(codeOf(altered.toString("base64"))).toMatch(/^CSR_/);
    }
  });

  test.each([
    ["RSA", generateKeyPairSync("rsa", { modulusLength: 2048 })],
    ["a short RSA", generateKeyPairSync("rsa", { modulusLength: 1024 })],
    ["P-384", generateKeyPairSync("ec", { namedCurve: "P-384" })],
    ["P-224", generateKeyPairSync("ec", { namedCurve: "secp224r1" })],
    ["Ed25519", generateKeyPairSync("ed25519")],
  ])("with a key of %s is refused as unsupported", (_name, { privateKey, publicKey }) => {
    expect(() => makeCertificateRequest("VMG-001", privateKey)).toThrow(CsrError);
    // The key is looked at before the signature, so any will do.
    const spki = publicKey.export({ type: "spki", format: "der" });
    const info = derSequenceOf(derInteger(0), derSequenceOf(), spki, der(0xa0));
    const request = derSequenceOf(info, signatureAlgorithm("ecdsa-p256"), derBits(Buffer.of(1)));
    expect(codeOf(request.toString("base64"))).toBe("CSR_ALGORITHM_UNSUPPORTED");
  });

  test("signed in another way than its key is for is refused as unsupported", () => {
    const { publicKey } = generateKeys("ecdsa-p256");
    const spki = publicKey.export({ type: "spki", format: "der" });
    const info = derSequenceOf(derInteger(0), derSequenceOf(), spki, der(0xa0));
    const request = derSequenceOf(info, signatureAlgorithm("ml-dsa-65"), derBits(Buffer.of(1)));
    expect(codeOf(request.toString("base64"))).toBe("CSR_ALGORITHM_UNSUPPORTED");
  });

  test.each([
    ["nothing", ""],
    ["no base64", "{}"],
    ["no DER", "AAAA"],
    ["a certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"],
    ["an empty sequence", Buffer.from("3000", "hex").toString("base64")],
    [
      "a sequence of three that are empty",
      Buffer.from("3009300030003000", "hex").toString("base64"),
    ],
    ["a length of more bytes than memory", Buffer.from("30ffffffffff", "hex").toString("base64")],
    ["two of them", makeCertificateRequest("A-1", generateKeys("ecdsa-p256").privateKey).repeat(2)],
    ["more than its bound", "A".repeat(MAX_CSR_LENGTH + 1)],
  ])("is not read from %s", (_name, text) => {
    expect(codeOf(text)).toBe("CSR_MALFORMED");
  });

  test("cut anywhere is refused, and no noise throws anything else", () => {
    const bytes = derOf(makeCertificateRequest("VMG-001", generateKeys("ecdsa-p256").privateKey));
    for (let length = 0; length < bytes.length; length++) {
      expect(codeOf(bytes.subarray(0, length).toString("base64"))).toBe("CSR_MALFORMED");
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        expect(codeOf(Buffer.from(noise).toString("base64"))).toBe("CSR_MALFORMED");
      }),
    );
  });

  test("has no common name when it names two", async (context) => {
    requirePeer(context, "openssl");
    const folder = await temporaryFolder();
    const key = join(folder, "a.key");
    await writeFile(key, privateKeyPem(generateKeys("ecdsa-p256").privateKey));
    const pem = openssl("req", "-new", "-key", key, "-subj", "/CN=VMG-001/CN=VMG-002");
    expect(readCertificateRequest(pem).commonName).toBeUndefined();
  });
});
