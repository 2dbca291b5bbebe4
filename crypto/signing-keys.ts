import { createPublicKey, randomUUID, sign, type KeyObject } from "node:crypto";
import { chmod, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HYBRID_ALGORITHMS, type KeyAlgorithm } from "./key-algorithm.ts";
import { readIfPresent } from "./exclusive-file.ts";
import { PkiError } from "./pki-error.ts";
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
 * as `{algorithm}.key` (PKCS#8 PEM, 0600) in the folder and made when missing. Beside each lies its
 * public key, `{algorithm}.pub` (SPKI PEM), for whoever verifies.
 * @throws PkiError PKI_KEY_UNREADABLE, PKI_KEY_MISMATCH
 */
export function ensureSigningKeys(
  folder: string,
  algorithms: readonly KeyAlgorithm[] = HYBRID_ALGORITHMS,
): Promise<Signer[]> {
  return Promise.all(
    algorithms.map(async (algorithm) => {
      const file = join(folder, `${algorithm}.key`);
      const signer = keySigner(algorithm, await ensurePrivateKey(file, algorithm));
      await writePublicKey(publicKeyFile(folder, algorithm), signer.publicKey);
      return signer;
    }),
  );
}

/**
 * The public keys of a folder of {@link ensureSigningKeys}; the private ones need not be there.
 * @throws PkiError PKI_KEY_MISSING, PKI_KEY_UNREADABLE
 */
export function loadSigningPublicKeys(folder: string): Promise<KeyObject[]> {
  return Promise.all(
    HYBRID_ALGORITHMS.map(async (algorithm) => {
      const file = publicKeyFile(folder, algorithm);
      const pem = await readIfPresent(file);
      if (pem === undefined) throw new PkiError("PKI_KEY_MISSING", `${file} is missing`);
      try {
        return createPublicKey(pem);
      } catch (error) {
        throw new PkiError("PKI_KEY_UNREADABLE", `${file}: ${(error as Error).message}`);
      }
    }),
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

function publicKeyFile(folder: string, algorithm: KeyAlgorithm): string {
  return join(folder, `${algorithm}.pub`);
}

/** Written whole or not at all: a vehicle may read it at any time. */
async function writePublicKey(file: string, publicKey: KeyObject): Promise<void> {
  const pem = publicKey.export({ type: "spki", format: "pem" });
  if ((await readIfPresent(file)) === pem) return;
  const temporary = `${file}.${process.pid}.${randomUUID()}`;
  await writeFile(temporary, pem);
  await chmod(temporary, 0o644);
  await rename(temporary, file);
}
