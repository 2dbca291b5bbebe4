import { createPrivateKey, verify } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { carCa, carIdentity } from "#crypto/diagnostic-pki.ts";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { ensureDevelopmentPki, issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import { signDer } from "#crypto/signature-algorithm.ts";
import {
  beginAuthentication,
  chainOf,
  demandAuthenticated,
  type TesterCredentials,
} from "#protocol/uds/authentication.ts";
import {
  decodeCertificateVerified,
  decodeOwnershipVerified,
  decodeProofOfOwnership,
  decodeTransmitCertificate,
  decodeVerifyCertificate,
  encodeCertificateVerified,
  encodeOwnershipVerified,
  encodeProofOfOwnership,
  encodeTransmitCertificate,
  encodeVerifyCertificate,
} from "#protocol/uds/authentication-messages.ts";
import type { TlsIdentity } from "#crypto/tls.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => Buffer.from(text, "hex");
const concat = (head: string, rest: Uint8Array) => Buffer.concat([bytes(head), rest]);
const empty = new Uint8Array();

describe("the messages of 29", () => {
  const golden: [string, () => Uint8Array, (message: Uint8Array) => unknown, string][] = [
    [
      "01",
      () =>
        encodeVerifyCertificate({
          task: 0x01,
          communicationConfiguration: 0,
          certificate: bytes("c0ffee"),
          challenge: empty,
        }),
      decodeVerifyCertificate,
      "2901000003c0ffee0000",
    ],
    [
      "02",
      () =>
        encodeVerifyCertificate({
          task: 0x02,
          communicationConfiguration: 0x11,
          certificate: bytes("c0ffee"),
          challenge: bytes("a1a2"),
        }),
      decodeVerifyCertificate,
      "2902110003c0ffee0002a1a2",
    ],
    [
      "03",
      () => encodeProofOfOwnership({ proof: bytes("b1b2b3"), ephemeralPublicKey: bytes("e1") }),
      decodeProofOfOwnership,
      "29030003b1b2b30001e1",
    ],
    [
      "04",
      () => encodeTransmitCertificate({ evaluationId: 0x0102, certificate: bytes("c0ffee") }),
      decodeTransmitCertificate,
      "290401020003c0ffee",
    ],
    [
      "the answer to 01",
      () =>
        concat(
          "6901",
          encodeCertificateVerified({
            result: 0x11,
            challenge: bytes("d1d2"),
            ephemeralPublicKey: empty,
          }),
        ),
      decodeCertificateVerified,
      "6901110002d1d20000",
    ],
    [
      "the answer to 02",
      () =>
        concat(
          "6902",
          encodeCertificateVerified({
            result: 0x11,
            challenge: bytes("d1d2"),
            server: { certificate: bytes("ca"), proof: bytes("9f9e") },
            ephemeralPublicKey: bytes("e1"),
          }),
        ),
      decodeCertificateVerified,
      "6902110002d1d20001ca00029f9e0001e1",
    ],
    [
      "the answer to 03",
      () => concat("6903", encodeOwnershipVerified(0x12)),
      decodeOwnershipVerified,
      "6903120000",
    ],
  ];
  test.each(golden)("%s has its bytes, and no fewer or more", (_, encode, decode, wanted) => {
    const message = encode();
    expect(hex(message)).toBe(wanted);
    expect(() => decode(message)).not.toThrow();
    for (let length = 0; length < message.length; length++) {
      expect(() => decode(message.subarray(0, length))).toThrow(
        expect.objectContaining({ code: "BYTES_TRUNCATED" }) as Error,
      );
    }
    expect(() => decode(Buffer.concat([message, Uint8Array.of(0)]))).toThrow(
      expect.objectContaining({ code: "BYTES_TRAILING" }) as Error,
    );
  });

  test("come back as they went", () => {
    const some = fc.uint8Array({ maxLength: 600 });
    fc.assert(
      fc.property(some, some, fc.integer({ min: 0, max: 255 }), (certificate, challenge, by) => {
        const message = { communicationConfiguration: by, certificate, challenge };
        const { communicationConfiguration, ...read } = decodeVerifyCertificate(
          encodeVerifyCertificate({ task: 0x02, ...message }),
        );
        expect(communicationConfiguration).toBe(by);
        expect(hex(read.certificate)).toBe(hex(certificate));
        expect(hex(read.challenge)).toBe(hex(challenge));
      }),
    );
  });

  test("have no field of more than 65,535 bytes", () => {
    const proof = new Uint8Array(0x1_0000);
    expect(() => encodeProofOfOwnership({ proof, ephemeralPublicKey: empty })).toThrow(RangeError);
  });
});

describe("a tester", () => {
  const VIN = "VMG-001";
  const keys = generateKeys("ml-dsa-65");
  const challenge = Buffer.alloc(32, 7);
  let folder: string;
  let car: TlsIdentity;
  let roots: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "latticeway-"));
    await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256"] });
    car = await carIdentity(folder, VIN);
    roots = await carCa(folder);
  });
  afterAll(() => rm(folder, { recursive: true }));

  const begin = (more: Partial<TesterCredentials> = {}) =>
    beginAuthentication({
      certificate: bytes("c0ffee"),
      privateKey: keys.privateKey,
      random: (length) => Buffer.alloc(length, 9),
      ...more,
    });
  const mutual = () => begin({ car: { roots, vehicleId: VIN } });

  const verified = (own: Uint8Array, result = 0x11) =>
    concat(
      "6901",
      encodeCertificateVerified({ result, challenge: own, ephemeralPublicKey: empty }),
    );

  const fromCar = ({ key, chain }: TlsIdentity, signed = Buffer.alloc(32, 9)) =>
    concat(
      "6902",
      encodeCertificateVerified({
        result: 0x11,
        challenge,
        server: { certificate: chainOf(chain), proof: signDer(signed, createPrivateKey(key)) },
        ephemeralPublicKey: empty,
      }),
    );

  test("shows its certificate, and signs the challenge", () => {
    const { request, prove } = begin();
    expect(hex(request)).toBe("2901000003c0ffee0000");
    const { proof, ephemeralPublicKey } = decodeProofOfOwnership(prove(verified(challenge)));
    expect(verify(null, challenge, keys.publicKey, proof)).toBe(true);
    expect(ephemeralPublicKey).toHaveLength(0);
  });

  test.each([
    [15, "a challenge of 15 bytes"],
    [65, "a challenge of 65 bytes"],
    [130, "a challenge of 130 bytes"],
  ])("does not sign a challenge of %s bytes", (length, message) => {
    expect(() => begin().prove(verified(new Uint8Array(length)))).toThrow(message);
  });

  test.each<[string, string | (() => Uint8Array), string]>([
    ["a refusal", "7f2952", "UDS_NEGATIVE_RESPONSE"],
    ["another result", () => verified(challenge, 0x12), "UDS_UNEXPECTED_RESPONSE"],
    ["an answer that is cut", () => verified(challenge).subarray(0, 20), "UDS_UNEXPECTED_RESPONSE"],
    ["an answer to something else", "6903120000", "UDS_UNEXPECTED_RESPONSE"],
  ])("signs nothing after %s", (_, response, code) => {
    const answer = typeof response === "string" ? bytes(response) : response();
    expect(() => begin().prove(answer)).toThrow(expect.objectContaining({ code }) as Error);
  });

  test("is authenticated when the ECU says so, and not before", () => {
    const request = begin().prove(verified(challenge));
    expect(() => demandAuthenticated(request, bytes("6903120000"))).not.toThrow();
    expect(() => demandAuthenticated(request, bytes("6903110000"))).toThrow("result 0x11");
    expect(() => demandAuthenticated(request, bytes("7f2958"))).toThrow("0x58");
    expect(() => demandAuthenticated(request, bytes("690312"))).toThrow("sessionKeyInfo");
  });

  test("signs for a car that has proved to be the one", () => {
    const { request, prove } = mutual();
    expect(hex(request)).toBe(`2902000003c0ffee0020${"09".repeat(32)}`);
    expect(hex(prove(fromCar(car))).slice(0, 4)).toBe("2903");
  });

  test.each<[string, () => Promise<Uint8Array> | Uint8Array, string]>([
    [
      "another car's",
      async () => fromCar(await carIdentity(folder, "VMG-002")),
      "not that of VMG-001",
    ],
    ["one for the gateway", async () => fromCar(await ofVehicle()), "does not hold (chain)"],
    ["no fresh", () => fromCar(car, Buffer.alloc(32, 8)), "has not signed the challenge"],
  ])("signs nothing for %s proof", async (_, response, message) => {
    const answer = await response();
    expect(() => mutual().prove(answer)).toThrow(
      expect.objectContaining({
        code: "UDS_ECU_NOT_AUTHENTIC",
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });

  async function ofVehicle(): Promise<TlsIdentity> {
    await issueVehicleCertificate(folder, { vehicleId: VIN });
    return loadVehicleIdentity(folder, VIN);
  }
});
