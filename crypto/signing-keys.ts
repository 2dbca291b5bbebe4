import { createPublicKey, randomUUID, sign, type KeyObject } from "node:crypto";
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HYBRID_ALGORITHMS, type KeyAlgorithm } from "./key-algorithm.ts";
import { readIfPresent } from "./exclusive-file.ts";
import { PkiError } from "./pki-error.ts";

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
 * Leaves the public keys of signers in a folder, `{algorithm}.pub` (SPKI PEM), for whoever verifies.
 */
export async function writeSigningPublicKeys(
  folder: string,
  signers: readonly Pick<Signer, "algorithm" | "publicKey">[],
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await Promise.all(
    signers.map(({ algorithm, publicKey }) =>
      writePublicKey(publicKeyFile(folder, algorithm), publicKey),
    ),
  );
}

/**
 * The hybrid pair of public keys in a folder of {@link writeSigningPublicKeys}.
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
