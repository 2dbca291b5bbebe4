import { createPublicKey, sign, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { HYBRID_ALGORITHMS, type KeyAlgorithm } from "./key-algorithm.ts";
import { ensurePrivateKey } from "./private-key.ts";

/**
 * Signs bytes without showing its private key, so that a KMS or a PKCS#11 token can stand behind
 * it. ECDSA answers DER over SHA-256 of the bytes, ML-DSA pure ML-DSA with an empty context.
 */
export interface Signer {
  readonly algorithm: KeyAlgorithm;
  readonly publicKey: KeyObject;
  sign(bytes: Uint8Array): Promise<Buffer>;
}

/**
 * One signer per algorithm (by default the hybrid pair ECDSA P-256 and ML-DSA-65), with keys kept
 * as `{algorithm}.key` (PKCS#8 PEM, 0600) in the folder and made when missing.
 */
export function ensureSigningKeys(
  folder: string,
  algorithms: readonly KeyAlgorithm[] = HYBRID_ALGORITHMS,
): Promise<Signer[]> {
  return Promise.all(
    algorithms.map(async (algorithm) =>
      keySigner(algorithm, await ensurePrivateKey(join(folder, `${algorithm}.key`), algorithm)),
    ),
  );
}

/** A signer over a private key in memory. */
export function keySigner(algorithm: KeyAlgorithm, privateKey: KeyObject): Signer {
  const digest = algorithm === "ecdsa-p256" ? "sha256" : null;
  return {
    algorithm,
    publicKey: createPublicKey(privateKey),
    // The callback form signs on the thread pool.
    sign: (bytes) =>
      new Promise((resolve, reject) => {
        sign(digest, bytes, privateKey, (error, signature) => {
          if (error === null) resolve(signature);
          else reject(error);
        });
      }),
  };
}
