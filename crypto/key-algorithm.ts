import { generateKeyPairSync, type KeyObject } from "node:crypto";

/** The algorithms of this product's certificates and signing keys. ML-DSA is FIPS 204. */
export const KeyAlgorithm = ["ecdsa-p256", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"] as const;
export type KeyAlgorithm = (typeof KeyAlgorithm)[number];

/** What development certificates and package signatures use unless told otherwise. */
export const HYBRID_ALGORITHMS: readonly KeyAlgorithm[] = ["ecdsa-p256", "ml-dsa-65"];

export interface KeyPair {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

export function generateKeys(algorithm: KeyAlgorithm): KeyPair {
  return algorithm === "ecdsa-p256"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync(algorithm);
}

/** The algorithm of a key; undefined for one this product does not use (RSA, Ed25519, P-384 …). */
export function keyAlgorithmOf(key: KeyObject): KeyAlgorithm | undefined {
  const type = key.asymmetricKeyType;
  if (type === "ec") {
    return key.asymmetricKeyDetails?.namedCurve === "prime256v1" ? "ecdsa-p256" : undefined;
  }
  return type !== undefined && isKeyAlgorithm(type) ? type : undefined;
}

function isKeyAlgorithm(text: string): text is KeyAlgorithm {
  return (KeyAlgorithm as readonly string[]).includes(text);
}
