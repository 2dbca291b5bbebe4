import { createPrivateKey, type KeyObject } from "node:crypto";
import { readIfPresent, writeExclusive } from "./exclusive-file.ts";
import { generateKeys, keyAlgorithmOf, type KeyAlgorithm } from "./key-algorithm.ts";
import { PkiError } from "./pki-error.ts";

const OWNER_ONLY = 0o600;

/**
 * The private key in a PKCS#8 PEM file, made when there is none. Processes that start at once all
 * come back with the same key.
 * @throws PkiError PKI_KEY_UNREADABLE, PKI_KEY_MISMATCH when the file holds another kind of key.
 */
export async function ensurePrivateKey(file: string, algorithm: KeyAlgorithm): Promise<KeyObject> {
  const existing = await readIfPresent(file);
  if (existing !== undefined) {
    const privateKey = parsePrivateKey(file, existing);
    const found = keyAlgorithmOf(privateKey) ?? privateKey.asymmetricKeyType;
    if (found === algorithm) return privateKey;
    throw new PkiError("PKI_KEY_MISMATCH", `${file} holds an ${found} key instead of ${algorithm}`);
  }
  const { privateKey } = generateKeys(algorithm);
  if (await writeExclusive(file, privateKeyPem(privateKey), OWNER_ONLY)) return privateKey;
  return ensurePrivateKey(file, algorithm);
}

/** @param file names the source in the error. @throws PkiError PKI_KEY_UNREADABLE */
export function parsePrivateKey(file: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new PkiError(
      "PKI_KEY_UNREADABLE",
      `${file} holds no private key in PEM (${(error as Error).message})`,
    );
  }
}

export function privateKeyPem(privateKey: KeyObject): string {
  return privateKey.export({ type: "pkcs8", format: "pem" });
}
