import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import { keyAlgorithmOf, type KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { canonicalJson } from "./canonical-json.ts";

/** An ML-DSA-87 public key is 3.5 KB of PEM. */
const MAX_PUBLIC_KEY_LENGTH = 8192;

/** A public key as Uptane metadata carries it; ML-DSA as in TAP 21. */
export const UptaneKey = Type.Object(
  {
    keytype: Type.Union([Type.Literal("ecdsa"), Type.Literal("ml-dsa")]),
    scheme: Type.String({ maxLength: 64 }),
    keyval: Type.Object(
      { public: Type.String({ maxLength: MAX_PUBLIC_KEY_LENGTH }) },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);
export type UptaneKey = Static<typeof UptaneKey>;

export type UptaneKeyErrorCode =
  | "UPTANE_KEY_MALFORMED"
  | "UPTANE_SCHEME_UNSUPPORTED"
  | "UPTANE_KEY_MISMATCH";

/** A key record that can't be trusted as it is written. */
export class UptaneKeyError extends Error {
  readonly code: UptaneKeyErrorCode;

  constructor(code: UptaneKeyErrorCode, message: string) {
    super(message);
    this.name = "UptaneKeyError";
    this.code = code;
  }
}

/** Hybrid mode asks for each family on its own. */
export type KeyFamily = "classical" | "post-quantum";

/** How a scheme signs. `version` is TAP 21's version byte; undefined where the bytes are signed as they are. */
export interface SignatureScheme {
  keytype: UptaneKey["keytype"];
  algorithm: KeyAlgorithm;
  family: KeyFamily;
  version: number | undefined;
}

const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  "ecdsa-sha2-nistp256": {
    keytype: "ecdsa",
    algorithm: "ecdsa-p256",
    family: "classical",
    version: undefined,
  },
  ...Object.fromEntries(
    (["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"] as const).map((algorithm) => [
      `${algorithm}/1`,
      { keytype: "ml-dsa", algorithm, family: "post-quantum", version: 1 },
    ]),
  ),
};

/** The key record of a public key. @throws UptaneKeyError UPTANE_SCHEME_UNSUPPORTED */
export function keyRecord(publicKey: KeyObject): UptaneKey {
  const algorithm = keyAlgorithmOf(publicKey);
  const found = Object.entries(SCHEMES).find(([, scheme]) => scheme.algorithm === algorithm);
  if (found === undefined) {
    throw new UptaneKeyError(
      "UPTANE_SCHEME_UNSUPPORTED",
      `no scheme for ${publicKey.asymmetricKeyType} keys`,
    );
  }
  const [scheme, { keytype }] = found;
  return {
    keytype,
    scheme,
    keyval: { public: publicKey.export({ type: "spki", format: "pem" }).trim() },
  };
}

/** SHA-256 of the record's canonical JSON, as lower-case hex. */
export function keyId(key: UptaneKey): string {
  return createHash("sha256").update(canonicalJson(key)).digest("hex");
}

/** @throws UptaneKeyError UPTANE_SCHEME_UNSUPPORTED, also for another TAP 21 version. */
export function schemeOf(record: UptaneKey): SignatureScheme {
  const scheme = Object.hasOwn(SCHEMES, record.scheme) ? SCHEMES[record.scheme] : undefined;
  if (scheme === undefined) {
    throw new UptaneKeyError(
      "UPTANE_SCHEME_UNSUPPORTED",
      `scheme "${record.scheme}" is not supported`,
    );
  }
  return scheme;
}

/** A key that may verify: its record, checked against the key inside. */
export interface TrustedKey {
  readonly keyId: string;
  readonly scheme: SignatureScheme;
  readonly publicKey: KeyObject;
  /** SHA-256 of the SubjectPublicKeyInfo: the same for one key in two records. */
  readonly fingerprint: string;
}

/** Trusted keys by key id. */
export type TrustedKeys = ReadonlyMap<string, TrustedKey>;

const checkKey = Compile(UptaneKey);

/**
 * Reads key records, from a file or from root metadata.
 * @throws UptaneKeyError for a record of another shape, a scheme this product does not verify (also
 * another TAP 21 version), or a key of another algorithm than its scheme.
 */
export function trustKeys(records: readonly unknown[]): TrustedKeys {
  const keys = records.map(trustKey);
  return new Map(keys.map((key) => [key.keyId, key]));
}

function trustKey(record: unknown): TrustedKey {
  if (!checkKey.Check(record)) {
    throw new UptaneKeyError(
      "UPTANE_KEY_MALFORMED",
      "a key is { keytype, scheme, keyval: { public } }",
    );
  }
  const scheme = schemeOf(record);
  const publicKey = readPublicKey(record.keyval.public);
  if (scheme.keytype !== record.keytype || keyAlgorithmOf(publicKey) !== scheme.algorithm) {
    throw new UptaneKeyError(
      "UPTANE_KEY_MISMATCH",
      `keytype "${record.keytype}" with an ${publicKey.asymmetricKeyType} key is not for ${record.scheme}`,
    );
  }
  const spki = publicKey.export({ type: "spki", format: "der" });
  return {
    keyId: keyId(record),
    scheme,
    publicKey,
    fingerprint: createHash("sha256").update(spki).digest("hex"),
  };
}

function readPublicKey(pem: string): KeyObject {
  // createPublicKey would also derive one from a private key, which has no place here.
  if (!pem.startsWith("-----BEGIN PUBLIC KEY-----")) {
    throw new UptaneKeyError("UPTANE_KEY_MALFORMED", "keyval.public is not a PEM public key");
  }
  try {
    return createPublicKey(pem);
  } catch (error) {
    throw new UptaneKeyError("UPTANE_KEY_MALFORMED", `keyval.public: ${(error as Error).message}`);
  }
}
