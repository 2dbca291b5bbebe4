import { createHash, type KeyObject } from "node:crypto";
import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import { keyAlgorithmOf } from "#crypto/key-algorithm.ts";
import { canonicalJson } from "./canonical-json.ts";
import { findScheme, schemeFor, type SignatureScheme } from "./scheme.ts";
import { readEd25519Hex, readSpkiPem, type PublicKeyInfo } from "./spki.ts";

/** An ML-DSA-87 public key is 3.5 KB of PEM. */
const MAX_PUBLIC_KEY_LENGTH = 8192;

/** A public key as Uptane metadata carries it; ML-DSA as in TAP 21. */
export const UptaneKey = Type.Object(
  {
    keytype: Type.String({ maxLength: 64 }),
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

/** The key record of a public key. @throws UptaneKeyError UPTANE_SCHEME_UNSUPPORTED */
export function keyRecord(publicKey: KeyObject): UptaneKey {
  const algorithm = keyAlgorithmOf(publicKey);
  const found = algorithm === undefined ? undefined : schemeFor(algorithm);
  const keytype = found?.scheme.keytypes[0];
  if (found === undefined || keytype === undefined) {
    throw new UptaneKeyError(
      "UPTANE_SCHEME_UNSUPPORTED",
      `no scheme for ${publicKey.asymmetricKeyType} keys`,
    );
  }
  return {
    keytype,
    scheme: found.name,
    keyval: { public: publicKey.export({ type: "spki", format: "pem" }).trim() },
  };
}

/** SHA-256 of the record's canonical JSON, as lower-case hex. */
export function keyId(key: UptaneKey): string {
  return createHash("sha256").update(canonicalJson(key)).digest("hex");
}

/** @throws UptaneKeyError UPTANE_SCHEME_UNSUPPORTED, also for another TAP 21 version. */
export function schemeOf(record: UptaneKey): SignatureScheme {
  const scheme = findScheme(record.scheme);
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
  readonly publicKey: PublicKeyInfo;
  /** SHA-256 of the public key: the same for one key in two records. */
  readonly fingerprint: string;
}

/** Trusted keys by key id. */
export type TrustedKeys = ReadonlyMap<string, TrustedKey>;

const checkKey = Compile(UptaneKey);

/**
 * Reads key records from a file, which must be written as we write them.
 * @throws UptaneKeyError for a record of another shape, a scheme this product does not verify (also
 * another TAP 21 version), or a key of another algorithm than its scheme.
 */
export function trustKeys(records: readonly unknown[]): TrustedKeys {
  const keys = records.map((record) => {
    if (!checkKey.Check(record)) throw notAKey();
    return trustedKey(keyId(record), record);
  });
  return new Map(keys.map((key) => [key.keyId, key]));
}

/** What a record in metadata must have; more may be there (TUF 1.0 §4.2). */
const checkMetadataKey = Compile(
  Type.Object({
    keytype: UptaneKey.properties.keytype,
    scheme: UptaneKey.properties.scheme,
    keyval: Type.Object({ public: Type.String({ maxLength: MAX_PUBLIC_KEY_LENGTH }) }),
  }),
);

/**
 * Reads the `keys` of root metadata or of delegations. A key id is what the metadata says it is
 * (TAP 12). A key that can't verify here counts for nothing, which never adds trust; it stays out.
 */
export function metadataKeys(records: Readonly<Record<string, unknown>>): TrustedKeys {
  const keys = new Map<string, TrustedKey>();
  for (const [id, record] of Object.entries(records)) {
    try {
      if (checkMetadataKey.Check(record)) keys.set(id, trustedKey(id, record));
    } catch (error) {
      if (!(error instanceof UptaneKeyError)) throw error;
    }
  }
  return keys;
}

function trustedKey(id: string, record: UptaneKey): TrustedKey {
  const scheme = schemeOf(record);
  const text = record.keyval.public;
  const publicKey = scheme.method === "ed25519" ? readEd25519Hex(text) : readSpkiPem(text);
  if (publicKey === undefined) {
    const isPem = text.startsWith("-----BEGIN PUBLIC KEY-----");
    throw isPem || scheme.method === "ed25519" ? mismatch(record) : notAKey();
  }
  if (!scheme.keytypes.includes(record.keytype) || publicKey.algorithm !== scheme.algorithm) {
    throw mismatch(record);
  }
  const fingerprint = createHash("sha256")
    .update(`${publicKey.algorithm}:`)
    .update(publicKey.key)
    .digest("hex");
  return { keyId: id, scheme, publicKey, fingerprint };
}

function notAKey(): UptaneKeyError {
  return new UptaneKeyError(
    "UPTANE_KEY_MALFORMED",
    "a key is { keytype, scheme, keyval: { public } } with a public key in PEM",
  );
}

function mismatch(record: UptaneKey): UptaneKeyError {
  return new UptaneKeyError(
    "UPTANE_KEY_MISMATCH",
    `the public key of keytype "${record.keytype}" is not for ${record.scheme}`,
  );
}
