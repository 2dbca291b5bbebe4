import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ml_dsa44, ml_dsa65, ml_dsa87 } from "@noble/post-quantum/ml-dsa.js";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TrustedKey, UptaneKey } from "#protocol/uptane/key.ts";
import { findScheme } from "#protocol/uptane/scheme.ts";
import { isSignedBy, signedBytes } from "#protocol/uptane/signature.ts";
import { verifyNative, type VerifySignature } from "#protocol/uptane/verify-signature.ts";
import { verifyNoble } from "#protocol/uptane/verify-noble.ts";
import { requirePeer, vectorsFolder } from "#test/helpers/optional.ts";
import { SCHEMES, testKey, verifierOf, type SchemeName } from "./test-key.ts";

const implementations: [string, VerifySignature][] = [
  ["OpenSSL", verifyNative],
  ["noble", verifyNoble],
];
const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

function pemKey(scheme: string, spki: Buffer): UptaneKey {
  const lines = spki.toString("base64").replaceAll(/.{64}/g, "$&\n");
  const pem = `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----`;
  return { keytype: findScheme(scheme)?.keytypes[0] ?? "", scheme, keyval: { public: pem } };
}

interface KnownAnswer {
  key: UptaneKey;
  message: Buffer;
  signature: Buffer;
}

/** RFC 6979 A.2.5 and A.2.6, RFC 8032 §7.1. */
const CLASSICAL: Record<string, KnownAnswer> = {
  "P-256": {
    key: pemKey(
      "ecdsa-sha2-nistp256",
      hex(`3059301306072a8648ce3d020106082a8648ce3d030107034200 04
        60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6
        7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299`),
    ),
    message: Buffer.from("sample"),
    signature: hex(`3046
      022100 efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
      022100 f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8`),
  },
  "P-384": {
    key: pemKey(
      "ecdsa-sha2-nistp384",
      hex(`3076301006072a8648ce3d020106052b81040022036200 04
        ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13
        8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720`),
    ),
    message: Buffer.from("sample"),
    signature: hex(`3066
      023100 94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46
      023100 99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8`),
  },
  Ed25519: {
    key: {
      keytype: "ed25519",
      scheme: "ed25519",
      keyval: { public: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c" },
    },
    message: hex("72"),
    signature: hex(`92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
      085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00`),
  },
};

/** What deterministic ML-DSA (FIPS 204, empty context) makes of the seed 2a…2a and a message. */
const MESSAGE = Buffer.from("Hello world");
const ML_DSA = {
  "ml-dsa-44/1": {
    algorithm: ml_dsa44,
    spki: "30820532300b06096086480165030403110382052100",
    sha256: "8cd6fc03daa72e87210a4e721523e84c14f27733789075e65736744d4787fdd5",
  },
  "ml-dsa-65/1": {
    algorithm: ml_dsa65,
    spki: "308207b2300b0609608648016503040312038207a100",
    sha256: "39fbbb0d97a52c79844213b325af823a7f16a174e00a5b3daeb3e6e6d1c89681",
  },
  "ml-dsa-87/1": {
    algorithm: ml_dsa87,
    spki: "30820a32300b060960864801650304031303820a2100",
    sha256: "1ad45bd0419e694375bd38ec11d8e0c228ab9ffac2fce4adbe6218d9c949e293",
  },
};

function deterministic(name: keyof typeof ML_DSA): KnownAnswer {
  const { algorithm, spki } = ML_DSA[name];
  const { publicKey, secretKey } = algorithm.keygen(new Uint8Array(32).fill(0x2a));
  return {
    key: pemKey(name, Buffer.concat([hex(spki), publicKey])),
    message: MESSAGE,
    signature: Buffer.from(algorithm.sign(MESSAGE, secretKey, { extraEntropy: false })),
  };
}

describe.each(implementations)("%s", (_name, verify) => {
  const accepts = ({ key, message, signature }: KnownAnswer) =>
    verify(verifierOf(key), message, signature);

  test.each(Object.entries(CLASSICAL))("takes the known signature of %s", (_curve, answer) => {
    expect(accepts(answer)).toBe(true);
    expect(accepts({ ...answer, message: Buffer.from("other") })).toBe(false);
  });

  test.each(Object.keys(ML_DSA) as (keyof typeof ML_DSA)[])("takes the known %s", (name) => {
    const answer = deterministic(name);
    const digest = createHash("sha256").update(answer.signature).digest("hex");
    expect(digest).toBe(ML_DSA[name].sha256);
    expect(accepts(answer)).toBe(true);
    expect(accepts({ ...answer, message: Buffer.from("other") })).toBe(false);
  });

  test("a point that is not on the curve signs nothing", () => {
    const { key, message, signature } = CLASSICAL["P-256"] as KnownAnswer;
    const spki = Buffer.from(verifierOf(key).publicKey.der);
    spki.writeUInt8((spki.at(-1) ?? 0) ^ 1, spki.length - 1);
    expect(verify(verifierOf(pemKey(key.scheme, spki)), message, signature)).toBe(false);
  });
});

describe("signatures over canonical bytes", () => {
  const bytes = Buffer.from('{"a":1}');
  const names = Object.keys(SCHEMES) as SchemeName[];

  test.each(names)("%s signs, and only these bytes and this key", (name) => {
    const key = testKey(name);
    const signature = { keyid: key.id, sig: key.sign(bytes) };
    const signedBy = (record: UptaneKey, content: Buffer, verify: VerifySignature) =>
      isSignedBy(content, verifierOf(record), signature, verify);
    expect(signedBy(key.record, bytes, verifyNative)).toBe(true);
    expect(signedBy(key.record, bytes, verifyNoble)).toBe(!name.startsWith("rsa"));
    for (const [, verify] of implementations) {
      expect(signedBy(key.record, Buffer.from('{"a":2}'), verify)).toBe(false);
      expect(signedBy(testKey(name).record, bytes, verify)).toBe(false);
    }
  });

  test.each(["", "zz", "0", "SIGNATUREzz", "SIGNATURE0"])("takes no %j for hex", (form) => {
    const key = testKey("ecdsa-sha2-nistp256");
    const sig = form.replace("SIGNATURE", key.sign(bytes));
    expect(isSignedBy(bytes, verifierOf(key.record), { keyid: key.id, sig })).toBe(false);
  });

  test("an ML-DSA signature of the bytes themselves is none", () => {
    const { key, message, signature } = deterministic("ml-dsa-65/1");
    const sig = signature.toString("hex");
    expect(isSignedBy(message, verifierOf(key), { keyid: "it", sig })).toBe(false);
  });

  test.each(names.filter((name) => !name.startsWith("rsa")))(
    "both implementations say the same of every altered %s signature",
    (name) => {
      const key = testKey(name);
      const trusted = verifierOf(key.record);
      const message = signedBytes(bytes, trusted.scheme);
      const signature = Buffer.from(key.sign(bytes), "hex");
      fc.assert(
        fc.property(alteration(signature), (altered) => {
          expect(verifyNoble(trusted, message, altered)).toBe(
            verifyNative(trusted, message, altered),
          );
        }),
        { numRuns: name.startsWith("ml-dsa") ? 40 : 150 },
      );
    },
  );
});

function alteration(signature: Buffer): fc.Arbitrary<Buffer> {
  const flipped = fc.nat(signature.length * 8 - 1).map((bit) => {
    const copy = Buffer.from(signature);
    copy.writeUInt8((copy[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3);
    return copy;
  });
  const cut = fc.nat(signature.length).map((length) => signature.subarray(0, length));
  const longer = fc
    .uint8Array({ minLength: 1, maxLength: 8 })
    .map((more) => Buffer.concat([signature, more]));
  return fc.oneof(flipped, cut, longer);
}

interface Vectors {
  testGroups: {
    publicKeyDer?: string;
    tests: {
      tcId: number;
      comment: string;
      msg: string;
      sig: string;
      ctx?: string;
      result: string;
    }[];
  }[];
}

describe("Wycheproof", () => {
  test.for([
    ["ecdsa_secp256r1_sha256_test.json", "ecdsa-sha2-nistp256"],
    ["mldsa_44_verify_test.json", "ml-dsa-44/1"],
    ["mldsa_65_verify_test.json", "ml-dsa-65/1"],
  ])("%s: both implementations decide every case", ([file = "", scheme = ""], context) => {
    requirePeer(context, "vectors");
    const cases = wycheproof(file, scheme);
    expect(cases.filter(({ valid }) => valid).length).toBeGreaterThan(10);
    expect(cases.filter(({ valid }) => !valid).length).toBeGreaterThan(10);
    for (const [name, verify] of implementations) {
      const wrong = cases.filter(
        ({ key, message, signature, valid }) =>
          (key !== undefined && verify(key, message, signature)) !== valid,
      );
      expect(wrong.map(({ title }) => `${name}: ${title}`)).toEqual([]);
    }
  });
}, 120_000);

interface WycheproofCase {
  title: string;
  key: TrustedKey | undefined;
  message: Buffer;
  signature: Buffer;
  valid: boolean;
}

function wycheproof(file: string, scheme: string): WycheproofCase[] {
  const text = readFileSync(new URL(file, vectorsFolder), "utf8");
  const { testGroups } = JSON.parse(text) as Vectors;
  return testGroups.flatMap(({ publicKeyDer, tests }) => {
    const key = readableKey(scheme, publicKeyDer);
    return tests.map(({ tcId, comment, msg, sig, ctx, result }) => ({
      title: `${file} ${tcId} ${comment}`,
      key,
      message: hex(msg),
      signature: hex(sig),
      // Metadata is signed with an empty context: a signature with another one is not for it.
      valid: result === "valid" && (ctx ?? "") === "",
    }));
  });
}

/** Some cases are keys of a wrong length, which are refused before any signature is looked at. */
function readableKey(scheme: string, der: string | undefined): TrustedKey | undefined {
  try {
    return verifierOf(pemKey(scheme, hex(der ?? "")));
  } catch {
    return undefined;
  }
}
