import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile, writeExclusive } from "./exclusive-file.ts";
import { generateKeys, KeyAlgorithm, keyAlgorithmOf } from "./key-algorithm.ts";
import {
  passphraseLock,
  readKeyFile,
  writeKeyFile,
  type Lock,
  type ScryptCost,
  type StoredKey,
} from "./key-file.ts";
import { KeyStoreError } from "./key-store-error.ts";
import { demandLength } from "./passphrase.ts";
import { keySigner, type Signer } from "./signing-keys.ts";

/**
 * Private keys that sign, without saying for what: which key speaks for a role, a root says. A KMS
 * or a PKCS#11 token can stand behind the same three functions.
 */
export interface KeyStore {
  /** Makes a key and keeps it. */
  make(algorithm: KeyAlgorithm): Promise<Signer>;
  /** All its keys, in the order of their file names. */
  list(): readonly Signer[];
  /** The key's signer; undefined when the store does not hold its private half. */
  signer(publicKey: KeyObject): Signer | undefined;
}

export interface KeyStoreSettings {
  /** Of keys that are made; what is read says its own. */
  cost?: ScryptCost;
  /** Takes keys that lie there in the clear also when there is a passphrase. */
  acceptPlain?: boolean;
}

/**
 * Opens a folder with one file per private key, `{algorithm}-{16 hex}.key`, 0600: encrypted by
 * scrypt and AES-256-GCM when there is a passphrase, PKCS#8 PEM otherwise. The folder is made when
 * missing. All keys are opened now, so that signing later costs no more than the signature.
 * @throws KeyStoreError KEY_STORE_*
 */
export async function openKeyStore(
  folder: string,
  passphrase: string | undefined,
  { cost, acceptPlain = false }: KeyStoreSettings = {},
): Promise<KeyStore> {
  const lock = lockOf(folder, passphrase, cost);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const signers = new Map<string, Signer>();
  for (const [name, { algorithm, privateKey, isPlain }] of await readKeys(folder, lock)) {
    if (isPlain && lock !== undefined && !acceptPlain) throw plain(folder, name);
    signers.set(name, keySigner(algorithm, privateKey));
  }
  return {
    make: async (algorithm) => {
      const { privateKey } = generateKeys(algorithm);
      const signer = keySigner(algorithm, privateKey);
      const name = keyFileName(signer);
      const content = await writeKeyFile(algorithm, privateKey, lock);
      await writeExclusive(join(folder, name), content, OWNER_ONLY);
      signers.set(name, signer);
      return signer;
    },
    list: () => [...signers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, signer]) => signer),
    signer: (publicKey) => {
      const algorithm = keyAlgorithmOf(publicKey);
      return algorithm && signers.get(keyFileName({ algorithm, publicKey }));
    },
  };
}

/**
 * Encrypts the keys of a folder that lie there in the clear, each in its place. Keys that are
 * encrypted already must open by the same passphrase.
 * @returns the files that were encrypted
 * @throws KeyStoreError KEY_STORE_*; nothing was changed
 */
export async function encryptKeyStore(
  folder: string,
  passphrase: string,
  cost?: ScryptCost,
): Promise<string[]> {
  const lock = lockOf(folder, passphrase, cost);
  const keys = [...(await readKeys(folder, lock))].filter(([, { isPlain }]) => isPlain);
  const files = keys.map(async ([name, { algorithm, privateKey }]) => {
    const file = join(folder, name);
    await replaceFile(file, await writeKeyFile(algorithm, privateKey, lock), OWNER_ONLY);
    return file;
  });
  return Promise.all(files);
}

const OWNER_ONLY = 0o600;
const FILE_NAME = new RegExp(`^(?:${KeyAlgorithm.join("|")})-[0-9a-f]{16}\\.key$`);

function lockOf(folder: string, passphrase: string | undefined, cost?: ScryptCost) {
  if (passphrase === undefined) return undefined;
  demandLength(folder, passphrase);
  return passphraseLock(passphrase, cost);
}

/** By file name. */
async function readKeys(folder: string, lock: Lock | undefined): Promise<Map<string, StoredKey>> {
  const keys = new Map<string, StoredKey>();
  // One at a time: files of several salts each take scrypt's memory.
  for (const name of await keyFileNames(folder)) {
    const file = join(folder, name);
    const key = await readKeyFile(file, lock);
    const { algorithm, privateKey } = key;
    if (keyFileName({ algorithm, publicKey: createPublicKey(privateKey) }) !== name) {
      const what = `${file} holds another key than its name says`;
      throw new KeyStoreError("KEY_STORE_FILE_INVALID", what);
    }
    keys.set(name, key);
  }
  return keys;
}

function plain(folder: string, name: string): KeyStoreError {
  const what = `${join(folder, name)} is not encrypted, although there is a passphrase`;
  const advice = `\`latticeway trust encrypt-keys --keys ${folder}\` encrypts it`;
  return new KeyStoreError("KEY_STORE_FILE_PLAIN", `${what}: ${advice}`);
}

function keyFileName({ algorithm, publicKey }: Pick<Signer, "algorithm" | "publicKey">): string {
  return nameOfKey(algorithm, publicKey.export({ type: "spki", format: "der" }));
}

/** The file of a key's private half: by SHA-256 of its SubjectPublicKeyInfo. @param spki DER */
export function nameOfKey(algorithm: string, spki: Uint8Array): string {
  return `${algorithm}-${createHash("sha256").update(spki).digest("hex").slice(0, 16)}.key`;
}

/** The names of the private keys in a folder, which need not be there. */
export async function keyFileNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names.filter((name) => FILE_NAME.test(name)).sort();
}
