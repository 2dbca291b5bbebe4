import { constants, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { keyId, metadataKeys, type TrustedKey, type UptaneKey } from "#protocol/uptane/key.ts";
import { findScheme } from "#protocol/uptane/scheme.ts";
import { signedBytes } from "#protocol/uptane/signature.ts";

/** Every scheme that verifies, and how OpenSSL makes a key for it. */
export const SCHEMES = {
  "ecdsa-sha2-nistp256": () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "ecdsa-sha2-nistp384": () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ed25519: () => generateKeyPairSync("ed25519"),
  "rsassa-pss-sha256": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "rsa-pkcs1v15-sha256": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "ml-dsa-44/1": () => generateKeyPairSync("ml-dsa-44"),
  "ml-dsa-65/1": () => generateKeyPairSync("ml-dsa-65"),
  "ml-dsa-87/1": () => generateKeyPairSync("ml-dsa-87"),
} as const;
export type SchemeName = keyof typeof SCHEMES;

/** A key that signs metadata, with its record. */
export interface TestKey {
  id: string;
  record: UptaneKey;
  /** Signs canonical bytes as the scheme does, into hex. */
  sign: (canonical: Uint8Array) => string;
}

export function testKey(name: SchemeName): TestKey {
  const scheme = findScheme(name);
  if (scheme === undefined) throw new Error(`no scheme ${name}`);
  const { publicKey, privateKey } = SCHEMES[name]();
  const record = {
    keytype: scheme.keytypes[0] ?? "",
    scheme: name,
    keyval: { public: publicText(publicKey) },
  };
  return {
    id: keyId(record),
    record,
    sign: (canonical) =>
      signMessage(name, signedBytes(canonical, scheme), privateKey).toString("hex"),
  };
}

/** The key as a verifier has it. */
export function verifierOf(record: UptaneKey): TrustedKey {
  const key = metadataKeys({ it: record }).get("it");
  if (key === undefined) throw new Error(`${record.scheme} key is not readable`);
  return key;
}

function publicText(publicKey: KeyObject): string {
  if (publicKey.asymmetricKeyType !== "ed25519") {
    return publicKey.export({ type: "spki", format: "pem" });
  }
  return publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("hex");
}

function signMessage(name: SchemeName, message: Uint8Array, key: KeyObject): Buffer {
  if (name === "rsassa-pss-sha256") {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    return sign("sha256", message, { key, padding, saltLength: 32 });
  }
  if (name === "ecdsa-sha2-nistp384") return sign("sha384", message, key);
  const hashed = name === "ecdsa-sha2-nistp256" || name === "rsa-pkcs1v15-sha256";
  return sign(hashed ? "sha256" : null, message, key);
}
