import { ed25519 } from "@noble/curves/ed25519.js";
import { p256, p384 } from "@noble/curves/nist.js";
import { ml_dsa44, ml_dsa65, ml_dsa87 } from "@noble/post-quantum/ml-dsa.js";
import type { TrustedKey } from "./key.ts";
import type { VerifySignature } from "./verify-signature.ts";

/**
 * The second, independent implementation, in JavaScript alone: for ECUs, and for wherever there is
 * no OpenSSL 3.5. RSA is not among what it verifies.
 */
export const verifyNoble: VerifySignature = (key, message, signature) => {
  try {
    return VERIFIERS[key.publicKey.algorithm]?.(key, message, signature) ?? false;
  } catch {
    // It throws for keys and signatures of a wrong length or encoding.
    return false;
  }
};

type Verifier = (key: TrustedKey, message: Uint8Array, signature: Uint8Array) => boolean;
const of =
  (algorithm: { verify: (s: Uint8Array, m: Uint8Array, k: Uint8Array) => boolean }): Verifier =>
  (key, message, signature) =>
    algorithm.verify(signature, message, key.publicKey.key);

// OpenSSL signs and takes high S values too; nothing here counts on a signature being the only one.
const DER = { format: "der", lowS: false } as const;

const VERIFIERS: Partial<Record<TrustedKey["publicKey"]["algorithm"], Verifier>> = {
  "ecdsa-p256": (key, message, signature) =>
    p256.verify(signature, message, key.publicKey.key, DER),
  "ecdsa-p384": (key, message, signature) =>
    p384.verify(signature, message, key.publicKey.key, DER),
  // RFC 8032 to the letter, as OpenSSL has it, rather than ZIP 215.
  ed25519: (key, message, signature) =>
    ed25519.verify(signature, message, key.publicKey.key, { zip215: false }),
  "ml-dsa-44": of(ml_dsa44),
  "ml-dsa-65": of(ml_dsa65),
  "ml-dsa-87": of(ml_dsa87),
};
