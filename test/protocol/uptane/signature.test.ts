import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { generateKeys, KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import {
  keyId,
  keyRecord,
  trustKeys,
  type UptaneKeyError,
  type TrustedKeys,
} from "#protocol/uptane/key.ts";
import { signBytes, type Signature } from "#protocol/uptane/signature.ts";
import { verifyThreshold } from "#protocol/uptane/threshold.ts";

const MESSAGE = Buffer.from('{"a":1}');

function signer(algorithm: KeyAlgorithm): Signer {
  return keySigner(algorithm, generateKeys(algorithm).privateKey);
}

const recordOf = (one: Signer) => keyRecord(one.publicKey);
const trustedOf = (...signers: Signer[]) => trustKeys(signers.map(recordOf));

describe("key records", () => {
  test("an ECDSA key's id does not change", () => {
    const key = {
      keytype: "ecdsa",
      scheme: "ecdsa-sha2-nistp256",
      keyval: { public: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----" },
    } as const;
    const canonical =
      '{"keytype":"ecdsa","keyval":{"public":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"},"scheme":"ecdsa-sha2-nistp256"}';
    expect(keyId(key)).toBe(createHash("sha256").update(canonical).digest("hex"));
  });

  test.each(KeyAlgorithm)("%s makes a record that reads back", (algorithm) => {
    const { publicKey } = generateKeys(algorithm);
    const record = keyRecord(publicKey);
    const [key] = trustKeys([record]).values();
    expect(key?.keyId).toBe(keyId(record));
    expect(key?.scheme.algorithm).toBe(algorithm);
    expect(key?.publicKey.der).toEqual(publicKey.export({ type: "spki", format: "der" }));
  });

  const mlDsa = () => keyRecord(generateKeys("ml-dsa-65").publicKey);
  const ecdsa = () => keyRecord(generateKeys("ecdsa-p256").publicKey);
  test.each<[string, () => unknown, string]>([
    ["no object", () => "key", "UPTANE_KEY_MALFORMED"],
    ["a member too many", () => ({ ...ecdsa(), extra: 1 }), "UPTANE_KEY_MALFORMED"],
    [
      "text that is no PEM",
      () => ({ ...ecdsa(), keyval: { public: "AAAA" } }),
      "UPTANE_KEY_MALFORMED",
    ],
    [
      "a private key",
      () => ({
        ...ecdsa(),
        keyval: {
          public: generateKeys("ecdsa-p256").privateKey.export({ type: "pkcs8", format: "pem" }),
        },
      }),
      "UPTANE_KEY_MALFORMED",
    ],
    [
      "a public key that is far too long",
      () => ({ ...ecdsa(), keyval: { public: "x".repeat(8193) } }),
      "UPTANE_KEY_MALFORMED",
    ],
    [
      "another TAP 21 version",
      () => ({ ...mlDsa(), scheme: "ml-dsa-65/2" }),
      "UPTANE_SCHEME_UNSUPPORTED",
    ],
    [
      "a scheme without a version",
      () => ({ ...mlDsa(), scheme: "ml-dsa-65" }),
      "UPTANE_SCHEME_UNSUPPORTED",
    ],
    [
      "a scheme called constructor",
      () => ({ ...mlDsa(), scheme: "constructor" }),
      "UPTANE_SCHEME_UNSUPPORTED",
    ],
    ["another parameter set", () => ({ ...mlDsa(), scheme: "ml-dsa-44/1" }), "UPTANE_KEY_MISMATCH"],
    [
      "a key of the other family",
      () => ({ ...mlDsa(), keyval: ecdsa().keyval }),
      "UPTANE_KEY_MISMATCH",
    ],
    [
      "a keytype of the other family",
      () => ({ ...mlDsa(), keytype: "ecdsa" }),
      "UPTANE_KEY_MISMATCH",
    ],
    [
      "a P-384 key",
      () => ({
        ...ecdsa(),
        keyval: {
          public: generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({
            type: "spki",
            format: "pem",
          }),
        },
      }),
      "UPTANE_KEY_MISMATCH",
    ],
  ])("refuses %s", (_name, make, code) => {
    const record = make();
    expect(() => trustKeys([record])).toThrow(expect.objectContaining({ code }) as UptaneKeyError);
  });
});

describe("what is signed", () => {
  test("ECDSA signs the bytes, DER over SHA-256", async () => {
    const one = signer("ecdsa-p256");
    const [signature] = await signBytes(MESSAGE, [one]);
    const bytes = Buffer.from(signature?.sig ?? "", "hex");
    expect(verify("sha256", MESSAGE, one.publicKey, bytes)).toBe(true);
  });

  test("ML-DSA signs TAP 21's string with an empty context, never the bytes", async () => {
    const one = signer("ml-dsa-65");
    const [signature] = await signBytes(MESSAGE, [one]);
    const bytes = Buffer.from(signature?.sig ?? "", "hex");
    const tap21 = Buffer.concat([
      Buffer.from([0x74, 0x75, 0x66, 0x01]),
      createHash("sha512").update(MESSAGE).digest(),
    ]);
    expect(bytes).toHaveLength(3309);
    expect(verify(null, tap21, one.publicKey, bytes)).toBe(true);
    expect(verify(null, MESSAGE, one.publicKey, bytes)).toBe(false);
  });
});

describe("the hybrid threshold", () => {
  const classical = signer("ecdsa-p256");
  const classical2 = signer("ecdsa-p256");
  const postQuantum = signer("ml-dsa-65");
  const postQuantum2 = signer("ml-dsa-87");
  const stranger = signer("ml-dsa-65");
  const keys = trustedOf(classical, classical2, postQuantum, postQuantum2);
  const made = new Map<Signer, Signature>();
  const of = (...signers: Signer[]) => signers.map((one) => made.get(one) as Signature);

  beforeAll(async () => {
    for (const one of [classical, classical2, postQuantum, postQuantum2, stranger]) {
      const [signature] = await signBytes(MESSAGE, [one]);
      if (signature !== undefined) made.set(one, signature);
    }
  });

  const outcome = (signatures: Signature[], threshold = 1, trusted: TrustedKeys = keys) =>
    verifyThreshold(MESSAGE, signatures, { keys: trusted, threshold });
  const code = (...given: Parameters<typeof outcome>) => {
    const result = outcome(...given);
    return result.signed ? "signed" : result.code;
  };

  test("needs one of each family", () => {
    expect(outcome(of(classical, postQuantum))).toEqual({ signed: true });
    expect(code([])).toBe("SIGNATURE_MISSING");
    expect(code(of(classical))).toBe("SIGNATURE_MISSING");
    expect(code(of(postQuantum))).toBe("SIGNATURE_MISSING");
  });

  test("two keys of one family don't stand in for the other", () => {
    expect(code(of(classical, classical2))).toBe("SIGNATURE_MISSING");
    expect(code(of(postQuantum, postQuantum2))).toBe("SIGNATURE_MISSING");
    expect(code(of(classical, classical2, postQuantum), 2)).toBe("SIGNATURE_UNDER_THRESHOLD");
    expect(code(of(classical, classical2, postQuantum, postQuantum2), 2)).toBe("signed");
  });

  test("a stranger's signature counts for nothing", () => {
    expect(code(of(classical, stranger))).toBe("SIGNATURE_MISSING");
    expect(code(of(classical, postQuantum, stranger))).toBe("signed");
  });

  test("a signature of other bytes is invalid, also when the key is right", () => {
    const moved = (one: Signer, other: Signer) => ({
      keyid: keyId(recordOf(one)),
      sig: (made.get(other) as Signature).sig,
    });
    expect(code([...of(postQuantum), moved(classical, classical2)])).toBe("SIGNATURE_INVALID");
    expect(code([...of(classical), moved(postQuantum, stranger)])).toBe("SIGNATURE_INVALID");
    const other = Buffer.from('{"a":2}');
    const result = verifyThreshold(other, of(classical, postQuantum), { keys, threshold: 1 });
    expect(result).toMatchObject({ signed: false, code: "SIGNATURE_INVALID" });
  });

  test("one key counts once: neither two signatures nor two records double it", async () => {
    const again = await signBytes(MESSAGE, [classical]);
    expect(code([...of(classical, postQuantum, postQuantum2), ...again], 2)).toBe(
      "SIGNATURE_DUPLICATE",
    );
    const record = recordOf(classical);
    const twin = { ...record, keyval: { public: `${record.keyval.public}\n` } };
    const trusted = trustKeys([record, twin, recordOf(postQuantum), recordOf(postQuantum2)]);
    const twice = [
      ...of(classical, postQuantum, postQuantum2),
      { keyid: keyId(twin), sig: (made.get(classical) as Signature).sig },
    ];
    expect(trusted.size).toBe(4);
    expect(code(twice, 2, trusted)).toBe("SIGNATURE_UNDER_THRESHOLD");
  });

  test("without the hybrid rule the threshold is asked of all trusted keys together", () => {
    const together = (signatures: Signature[], threshold = 1) =>
      verifyThreshold(MESSAGE, signatures, { keys, threshold, families: [] });
    expect(together(of(classical))).toEqual({ signed: true });
    expect(together(of(classical, postQuantum), 2)).toEqual({ signed: true });
    expect(together([])).toMatchObject({ signed: false, code: "SIGNATURE_MISSING" });
    expect(together(of(stranger))).toMatchObject({ signed: false, code: "SIGNATURE_MISSING" });
    expect(together(of(classical), 2)).toMatchObject({ code: "SIGNATURE_UNDER_THRESHOLD" });
  });

  test.each([0, -1, 1.5, Number.NaN])("a threshold of %d is refused", (threshold) => {
    expect(() => outcome(of(classical, postQuantum), threshold)).toThrow(RangeError);
  });
});
