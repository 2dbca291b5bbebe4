import { createHash, type KeyObject } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { writeExclusive } from "./exclusive-file.ts";
import { generateKeys, KeyAlgorithm, keyAlgorithmOf } from "./key-algorithm.ts";
import {
  passphraseLock,
  readKeyFile,
  writeKeyFile,
  type Lock,
  type ScryptCost,
} from "./key-file.ts";
import { KeyStoreError } from "./key-store-error.ts";
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

/**
 * Opens a folder with one file per private key, `{algorithm}-{16 hex}.key`, 0600: encrypted by
 * scrypt and AES-256-GCM when there is a passphrase, PKCS#8 PEM otherwise. The folder is made when
 * missing. All keys are opened now, so that signing later costs no more than the signature.
 * @param cost of keys that are made; what is read says its own
 * @throws KeyStoreError KEY_STORE_*
 */
export async function openKeyStore(
  folder: string,
  passphrase: string | undefined,
  cost?: ScryptCost,
): Promise<KeyStore> {
  if (passphrase === "") {
    throw new KeyStoreError("KEY_STORE_PASSPHRASE_INVALID", `${folder}: the passphrase is empty`);
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = passphrase === undefined ? undefined : passphraseLock(passphrase, cost);
  const signers = await readKeys(folder, lock);
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

const OWNER_ONLY = 0o600;
const FILE_NAME = new RegExp(`^(?:${KeyAlgorithm.join("|")})-[0-9a-f]{16}\\.key$`);

async function readKeys(folder: string, lock: Lock | undefined): Promise<Map<string, Signer>> {
  const signers = new Map<string, Signer>();
  const names = (await readdir(folder)).filter((name) => FILE_NAME.test(name));
  // One at a time: files of several salts each take scrypt's memory.
  for (const name of names) {
    const file = join(folder, name);
    const signer = await readKeyFile(file, lock);
    if (keyFileName(signer) !== name) {
      const what = `${file} holds another key than its name says`;
      throw new KeyStoreError("KEY_STORE_FILE_INVALID", what);
    }
    signers.set(name, signer);
  }
  return signers;
}

/** Names a key by SHA-256 of its SubjectPublicKeyInfo. */
function keyFileName({ algorithm, publicKey }: Pick<Signer, "algorithm" | "publicKey">): string {
  const spki = publicKey.export({ type: "spki", format: "der" });
  return `${algorithm}-${createHash("sha256").update(spki).digest("hex").slice(0, 16)}.key`;
}
