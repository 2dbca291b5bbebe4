import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { certificateFields } from "#crypto/certificate-fields.ts";
import { issueCertificate } from "#crypto/certificate.ts";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { peerIdentity } from "#crypto/peer.ts";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  serverCa,
  vehicleCa,
} from "#crypto/pki.ts";
import { readSession } from "#crypto/session.ts";
import { clientTlsOptions, serverTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import { parsePrivateKey, privateKeyPem } from "#crypto/private-key.ts";
import { tlsListener } from "./connection.ts";

const SEQUENCE = 0x30;
const UTF8 = 0x0c;
const PRINTABLE = 0x13;
const NULL = "0500";
const OID_RSA = "06092a864886f70d010101";
const OID_EC = "06072a8648ce3d0201";

/** A short DER element as hex. */
function der(tag: number, ...parts: string[]): string {
  const content = parts.join("");
  return Buffer.of(tag, content.length / 2).toString("hex") + content;
}

function rdn(tag: number, text: string, type = "550403"): string {
  const value = der(tag, Buffer.from(text).toString("hex"));
  return der(0x31, der(SEQUENCE, der(0x06, type), value));
}

/** The outline of a version 1 certificate, without what nobody reads. */
function smallCertificate(algorithm: string[], subject: string[], validity: string[] = []): Buffer {
  const empty = der(SEQUENCE);
  const key = der(SEQUENCE, der(SEQUENCE, ...algorithm), "030100");
  const tbs = der(
    SEQUENCE,
    "020101",
    empty,
    empty,
    der(SEQUENCE, ...validity),
    der(SEQUENCE, ...subject),
    key,
  );
  return Buffer.from(der(SEQUENCE, tbs, empty, "030100"), "hex");
}

/** What OpenSSL writes for a session without a peer, shortened: version, protocol, suite, group. */
const VERSIONS = ["020101", "02020304"];
const SUITE = "04021302";
const GROUP = "b304020211ec";
const GOLDEN = Buffer.from(der(SEQUENCE, ...VERSIONS, SUITE, GROUP), "hex");

describe("a serialised session", () => {
  test("tells its group", () => {
    expect(readSession(GOLDEN)).toEqual({ group: 0x11ec, peerCertificate: undefined });
  });

  test("tells the peer's certificate, to the byte", () => {
    const certificate = Buffer.from("30020500", "hex");
    const peer = der(0xa3, certificate.toString("hex"));
    const withPeer = Buffer.from(der(SEQUENCE, ...VERSIONS, SUITE, peer, GROUP), "hex");
    const session = readSession(withPeer);
    expect(session?.group).toBe(0x11ec);
    expect(Buffer.from(session?.peerCertificate ?? [])).toEqual(certificate);
  });

  test.each([
    ["nothing", ""],
    ["another tag", "0402b304"],
    ["an indefinite length", "3080b304020211ec0000"],
    ["a length of more bytes than memory", "30ffffffffff"],
    ["a field that is longer than the session", "3006b305020211ec"],
    ["bytes behind it", "3006b304020211ec00"],
    ["a group that is no integer", "3006b304040211ec"],
    ["a group of four bytes", "3008b306020411ec11ec"],
  ])("is not read from %s", (_name, hex) => {
    expect(readSession(Buffer.from(hex, "hex"))).toBeUndefined();
  });

  test("never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        readSession(noise);
        certificateFields(noise);
      }),
    );
    for (let length = 0; length < GOLDEN.length; length++) {
      expect(readSession(GOLDEN.subarray(0, length))).toBeUndefined();
    }
  });
});

describe("a certificate's fields", () => {
  let folder: string;
  let leaf: X509Certificate;
  const certificate = async (
    commonName: string,
  ): Promise<{ pem: string; identity: TlsIdentity }> => {
    const files = authorityFiles(folder, "vehicle", "ecdsa-p256", "issuing");
    const issuing = await readFile(files.certificate, "utf8");
    const keys = generateKeys("ecdsa-p256");
    const pem = await issueCertificate({
      tree: "vehicle",
      level: "leaf",
      commonName,
      publicKey: keys.publicKey,
      issuer: {
        certificate: issuing,
        privateKey: parsePrivateKey(files.key, await readFile(files.key, "utf8")),
      },
      notBefore: new Date(Date.now() - 1000),
      notAfter: new Date(Date.now() + 86_400_000),
    });
    const key = privateKeyPem(keys.privateKey);
    return { pem, identity: { algorithm: "ecdsa-p256", key, chain: pem + issuing } };
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "latticeway-"));
    await ensureDevelopmentPki(folder);
    const { certificate: file } = await issueVehicleCertificate(folder, { vehicleId: "VMG-001" });
    leaf = new X509Certificate(await readFile(file));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("are what OpenSSL reads", async () => {
    expect(certificateFields(leaf.raw)).toEqual({
      keyType: "ecdsa-p256",
      commonName: "VMG-001",
      notAfter: leaf.validToDate.getTime(),
    });
    const names = ["with, comma", "ü €", "a+b=c", "x".repeat(64)];
    for (const name of names) {
      const { pem } = await certificate(name);
      expect(certificateFields(new X509Certificate(pem).raw)?.commonName).toBe(name);
    }
  });

  test.each([
    ["rsa", [OID_RSA, NULL]],
    ["ecdsa-p384", [OID_EC, "06052b81040022"]],
    ["other", [OID_EC, "06032b6501"]],
    ["ed25519", ["06032b6570"]],
    ["other", ["06032b6501"]],
    ["other", []],
  ])("name a key %s by %j", (keyType, algorithm) => {
    expect(certificateFields(smallCertificate(algorithm, []))?.keyType).toBe(keyType);
  });

  test.each<[string | undefined, string[]]>([
    ["VMG", [rdn(UTF8, "VMG")]],
    ["VMG", [rdn(PRINTABLE, "VMG")]],
    ["VMG", [rdn(UTF8, "Org", "55040a"), rdn(UTF8, "VMG")]],
    [undefined, []],
    [undefined, [rdn(UTF8, "VMG", "55040a")]],
    // Which of two names counts must not be a matter of taste.
    [undefined, [rdn(UTF8, "VMG"), rdn(UTF8, "VMG")]],
    [undefined, [rdn(0x1e, "VMG")]],
    [undefined, ["0500"]],
  ])("have the common name %s of %j", (commonName, subject) => {
    expect(certificateFields(smallCertificate([OID_RSA], subject))).toEqual({
      keyType: "rsa",
      commonName,
    });
  });

  test.each([
    ["a year before 2000", "170d3939313233313233353935395a", "1999-12-31T23:59:59Z"],
    ["a year up to 2049", "170d3439313233313233353935395a", "2049-12-31T23:59:59Z"],
    ["a year from 2050 on", "180f32303530303130313030303030305a", "2050-01-01T00:00:00Z"],
    ["a time without seconds", "170b343931323331323335395a", undefined],
    ["a local time", "17113439313233313233353935392b30323030", undefined],
    ["no time", "0500", undefined],
  ])("tell when it ends: %s", (_name, time, ends) => {
    const certificate = smallCertificate([OID_RSA], [], [der(0x17), time]);
    expect(certificateFields(certificate)?.notAfter).toBe(ends && Date.parse(ends));
  });

  test("cut anywhere give nothing, and no error", () => {
    for (let length = 0; length < leaf.raw.length; length++) {
      expect(certificateFields(leaf.raw.subarray(0, length))).toBeUndefined();
    }
  });

  test.each(["ab", "a/b", "VMG 001", "...", "x".repeat(64)])(
    "a valid certificate for %j is a vehicle's only if that is an id",
    async (commonName) => {
      const server = await tlsListener(
        serverTlsOptions({
          profiles: [2],
          identities: await loadServerIdentities(folder),
          clientCa: await vehicleCa(folder),
          clientCertificates: "required",
        }),
      );
      const { identity } = await certificate(commonName);
      const ca = await serverCa(folder);
      const { server: socket } = await server.connect(
        clientTlsOptions({ profile: 2, identity, ca }),
      );
      expect(peerIdentity(socket)).toMatchObject(
        commonName.length === 64
          ? { kind: "vehicle", vehicleId: commonName }
          : { kind: "refused", code: "SUBJECT_NOT_A_VEHICLE" },
      );
    },
  );
});
