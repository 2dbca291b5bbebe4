import { ECDH, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, test } from "vitest";
import { derElement, derSequence } from "#crypto/der.ts";
import { der, derBits, derInteger, derSequenceOf } from "#crypto/der-writer.ts";
import { readSpkiPem } from "#protocol/uptane/spki.ts";
import { SCHEMES } from "./test-key.ts";

interface Parts {
  /** The AlgorithmIdentifier. */
  algorithm: Buffer;
  /** The content of the bit string. */
  key: Buffer;
}

function partsOf(publicKey: KeyObject): Parts {
  const spki = publicKey.export({ type: "spki", format: "der" });
  const outer = derElement(spki, 0, spki.length);
  const [identifier, bits] = derSequence(spki) ?? [];
  if (!outer || !identifier || !bits) throw new Error("no SubjectPublicKeyInfo");
  return {
    algorithm: spki.subarray(outer.start, identifier.end),
    key: spki.subarray(bits.start + 1, bits.end),
  };
}

const pem = (spki: Buffer) =>
  `-----BEGIN PUBLIC KEY-----\n${spki.toString("base64")}\n-----END PUBLIC KEY-----`;
const spkiOf = ({ algorithm, key }: Parts) => derSequenceOf(algorithm, derBits(key));

const ec = partsOf(SCHEMES["ecdsa-sha2-nistp256"]().publicKey);
const rsa = partsOf(SCHEMES["rsassa-pss-sha256"]().publicKey);
const mlDsa = partsOf(SCHEMES["ml-dsa-65/1"]().publicKey);

/** The modulus and the exponent, most significant byte first. */
function numbersOf({ key }: Parts): [Buffer, Buffer] {
  const [n, e] = (derSequence(key) ?? []).map(({ start, end }) => key.subarray(start, end));
  if (!n || !e) throw new Error("no RSA key");
  return [n, e];
}
const [modulus, exponent] = numbersOf(rsa);

describe("a public key", () => {
  test.each([
    ["ecdsa-p256", ec],
    ["rsa", rsa],
    ["ml-dsa-65", mlDsa],
  ])("is read, down to its bytes: %s", (algorithm, parts) => {
    expect(readSpkiPem(`${pem(spkiOf(parts))}\n`)).toMatchObject({ algorithm, key: parts.key });
  });

  // A second encoding would make two keys of one, which a threshold of two takes for two people's.
  test.each<[string, Parts]>([
    ["a point in the hybrid form", { ...ec, key: hybrid(ec.key) }],
    ["a compressed point", { ...ec, key: compressed(ec.key) }],
    ["an RSA key with a byte behind it", { ...rsa, key: Buffer.concat([rsa.key, Buffer.of(0)]) }],
    [
      "an RSA modulus with a zero before it",
      {
        ...rsa,
        key: derSequenceOf(der(0x02, Buffer.of(0), modulus), der(0x02, exponent)),
      },
    ],
    [
      "an RSA key whose length is written in more bytes",
      { ...rsa, key: Buffer.concat([Buffer.of(0x30, 0x83, 0), rsa.key.subarray(2)]) },
    ],
    [
      "an RSA key of three numbers",
      { ...rsa, key: derSequenceOf(der(0x02, modulus), der(0x02, exponent), derInteger(1)) },
    ],
  ])("has one encoding: not as %s", (_name, parts) => {
    expect(readSpkiPem(pem(spkiOf(parts)))).toBeUndefined();
  });

  test.each<[string, string]>([
    ["a third element", pem(derSequenceOf(ec.algorithm, derBits(ec.key), derInteger(0)))],
    ["bits that are unused", pem(derSequenceOf(ec.algorithm, der(0x03, Buffer.of(1), ec.key)))],
    ["a byte too few", pem(spkiOf({ ...mlDsa, key: mlDsa.key.subarray(1) }))],
    ["the key of another curve", pem(spkiOf({ ...ec, key: p384().key }))],
    ["an RSA key of 1,024 bits", pem(spkiOf({ ...rsa, key: shortRsa().key }))],
    ["a second key", `${pem(spkiOf(ec))}\n${pem(spkiOf(ec))}`],
    ["text behind it", `${pem(spkiOf(ec))}\nkey`],
    ["a sign that is no base64", pem(spkiOf(ec)).replace("\n", "\n*")],
  ])("is none with %s", (_name, text) => {
    expect(readSpkiPem(text)).toBeUndefined();
  });
});

/** Both coordinates, and the sign of the second in the first byte (X9.62 §4.3.6). */
function hybrid(point: Buffer): Buffer {
  const sign = (point.at(-1) ?? 0) & 1;
  return Buffer.concat([Buffer.of(0x06 | sign), point.subarray(1)]);
}

function compressed(point: Buffer): Buffer {
  return ECDH.convertKey(point, "prime256v1", undefined, undefined, "compressed");
}

function p384(): Parts {
  return partsOf(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey);
}

function shortRsa(): Parts {
  return partsOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey);
}
