import { sign, verify, type KeyObject } from "node:crypto";
import { derOidOf, derSequenceOf } from "./der-writer.ts";
import { keyAlgorithmOf, type KeyAlgorithm } from "./key-algorithm.ts";

/** Signature OIDs in X.509 as hex: ecdsa-with-SHA256 (RFC 5758 §3.2), ML-DSA (RFC 9881 §2). */
const OIDS: Record<KeyAlgorithm, string> = {
  "ecdsa-p256": "2a8648ce3d040302",
  "ml-dsa-44": "608648016503040311",
  "ml-dsa-65": "608648016503040312",
  "ml-dsa-87": "608648016503040313",
};

/** The AlgorithmIdentifier of a signature, which has no parameters with any of them. */
export function signatureAlgorithm(algorithm: KeyAlgorithm): Buffer {
  return derSequenceOf(derOidOf(OIDS[algorithm]));
}

/** The algorithm of a signature by the hex of its OID; undefined for one that is not used here. */
export function algorithmOfSignature(oid: string | undefined): KeyAlgorithm | undefined {
  return (Object.keys(OIDS) as KeyAlgorithm[]).find((algorithm) => OIDS[algorithm] === oid);
}

/** Signs what a certificate, a request or a revocation list consists of. */
export function signDer(bytes: Uint8Array, privateKey: KeyObject): Buffer {
  return sign(digestOf(privateKey), bytes, privateKey);
}

export function verifyDer(bytes: Uint8Array, publicKey: KeyObject, signature: Uint8Array): boolean {
  return verify(digestOf(publicKey), bytes, publicKey, signature);
}

function digestOf(key: KeyObject): "sha256" | null {
  return keyAlgorithmOf(key) === "ecdsa-p256" ? "sha256" : null;
}
