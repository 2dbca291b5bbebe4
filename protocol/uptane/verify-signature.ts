import { constants, createPublicKey, verify, type KeyObject } from "node:crypto";
import type { TrustedKey } from "./key.ts";

/**
 * Whether the signature of a message is this key's. The message is what the scheme signs: for ML-DSA
 * TAP 21's string. Never throws: whatever can't be verified is not signed.
 */
export type VerifySignature = (
  key: TrustedKey,
  message: Uint8Array,
  signature: Uint8Array,
) => boolean;

/** Verifies with OpenSSL. */
export const verifyNative: VerifySignature = (key, message, signature) => {
  try {
    const publicKey = keyObject(key);
    switch (key.scheme.method) {
      case "ecdsa-sha256":
        return verify("sha256", message, publicKey, signature);
      case "ecdsa-sha384":
        return verify("sha384", message, publicKey, signature);
      case "rsa-pss-sha256":
        return verify("sha256", message, { key: publicKey, ...ANY_SALT }, signature);
      case "rsa-pkcs1v15-sha256":
        return verify("sha256", message, publicKey, signature);
      case "ed25519":
      case "ml-dsa":
        return verify(null, message, publicKey, signature);
    }
  } catch {
    // OpenSSL throws for some keys (a point off the curve) and answers false for others.
    return false;
  }
};

/** Signers differ in the length of the salt, and nothing depends on it. */
const ANY_SALT = {
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: constants.RSA_PSS_SALTLEN_AUTO,
};

/** Building one costs more than many verifications with it. */
const keyObjects = new WeakMap<TrustedKey, KeyObject>();

function keyObject(key: TrustedKey): KeyObject {
  const known = keyObjects.get(key);
  if (known !== undefined) return known;
  const made = createPublicKey({ key: key.publicKey.der, format: "der", type: "spki" });
  keyObjects.set(key, made);
  return made;
}
