import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  randomBytes,
  scrypt,
  type KeyObject,
} from "node:crypto";
import { open } from "node:fs/promises";
import { KeyAlgorithm, keyAlgorithmOf } from "./key-algorithm.ts";
import { KeyStoreError } from "./key-store-error.ts";
import { privateKeyPem } from "./private-key.ts";

/** scrypt's cost parameters (RFC 7914 §2). */
export interface ScryptCost {
  N: number;
  r: number;
  p: number;
}

/** 32 MB and about a tenth of a second. */
const SCRYPT_COST: ScryptCost = { N: 2 ** 15, r: 8, p: 1 };

interface Derivation extends ScryptCost {
  name: string;
  salt: string;
}

/** A passphrase at work. The files of one folder share their salt, so that it is paid for once. */
export interface Lock {
  derive(derivation: Derivation): Promise<Buffer>;
  /** For files to be written: as those that were read, else a new salt. */
  forNewFiles(): Derivation;
}

/** @param cost of files to be written; what is read says its own */
export function passphraseLock(passphrase: string, cost: ScryptCost = SCRYPT_COST): Lock {
  const derived = new Map<string, Promise<Buffer>>();
  let own: Derivation | undefined;
  return {
    derive(derivation) {
      const { N, r, p, salt } = derivation;
      if (N === cost.N && r === cost.r && p === cost.p) own ??= derivation;
      const id = [N, r, p, salt].join();
      const known = derived.get(id) ?? deriveKey(passphrase, Buffer.from(salt, "hex"), { N, r, p });
      derived.set(id, known);
      return known;
    },
    forNewFiles: () => (own ??= { name: "scrypt", ...cost, salt: randomBytes(16).toString("hex") }),
  };
}

/** The text of the file that keeps a private key: encrypted, or without a lock PKCS#8 PEM. */
export async function writeKeyFile(
  algorithm: KeyAlgorithm,
  privateKey: KeyObject,
  lock: Lock | undefined,
): Promise<string> {
  if (lock === undefined) return privateKeyPem(privateKey);
  const publicPem = createPublicKey(privateKey).export({ type: "spki", format: "pem" });
  const kdf = lock.forNewFiles();
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, await lock.derive(kdf), iv);
  cipher.setAAD(boundTo(algorithm, publicPem));
  const der = privateKey.export({ type: "pkcs8", format: "der" });
  const encrypted = Buffer.concat([cipher.update(der), cipher.final()]);
  const file: KeyFile = {
    format: FORMAT,
    algorithm,
    public: publicPem,
    kdf,
    cipher: { name: CIPHER, iv: iv.toString("hex"), tag: cipher.getAuthTag().toString("hex") },
    private: encrypted.toString("hex"),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** A private key that was read. */
export interface StoredKey {
  algorithm: KeyAlgorithm;
  privateKey: KeyObject;
  /** Whether its file needs no passphrase. */
  isPlain: boolean;
}

/**
 * Opens a key file. What it says is bounded before it costs memory or time.
 * @throws KeyStoreError KEY_STORE_FILE_INVALID, KEY_STORE_PASSPHRASE_REQUIRED, and
 *   KEY_STORE_PASSPHRASE_WRONG also where the file was altered: the two can't be told apart.
 */
export async function readKeyFile(file: string, lock: Lock | undefined): Promise<StoredKey> {
  const text = await readBounded(file);
  if (text.startsWith("-----BEGIN PRIVATE KEY-----")) {
    return { ...storedKey(file, () => createPrivateKey(text)), isPlain: true };
  }
  const content = parseKeyFile(file, text);
  if (lock === undefined) {
    throw new KeyStoreError("KEY_STORE_PASSPHRASE_REQUIRED", `${file} is encrypted`);
  }
  const der = await decrypt(file, content, lock);
  const key = storedKey(file, () => createPrivateKey({ key: der, type: "pkcs8", format: "der" }));
  der.fill(0);
  const publicPem = createPublicKey(key.privateKey).export({ type: "spki", format: "pem" });
  if (key.algorithm !== content.algorithm || publicPem !== content.public) {
    throw invalid(file, "holds another key than it says");
  }
  return { ...key, isPlain: false };
}

const FORMAT = "latticeway-key/1";
const CIPHER = "aes-256-gcm";
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** An ML-DSA-87 private key takes 10 KB in hex. */
const MAX_FILE_BYTES = 64 * 1024;
/** What a file may ask of scrypt: 256 MB, and a few seconds. */
const MAX_SCRYPT_BYTES = 256 * 1024 * 1024;
const MAX_PARALLEL = 4;

interface KeyFile {
  format: string;
  algorithm: KeyAlgorithm;
  public: string;
  kdf: Derivation;
  cipher: { name: string; iv: string; tag: string };
  private: string;
}

async function readBounded(file: string): Promise<string> {
  await using handle = await open(file);
  const { size } = await handle.stat();
  if (size > MAX_FILE_BYTES) throw invalid(file, `has ${size} bytes, too many for a key`);
  return handle.readFile("utf8");
}

function parseKeyFile(file: string, text: string): KeyFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(file, "is neither an encrypted key nor a private key in PEM");
  }
  if (!isKeyFile(value)) throw invalid(file, `is not a ${FORMAT} file`);
  if (!isBearable(value.kdf)) throw invalid(file, "asks for a cost of scrypt that is not allowed");
  return value;
}

function isKeyFile(value: unknown): value is KeyFile {
  if (typeof value !== "object" || value === null) return false;
  const {
    format,
    algorithm,
    public: publicPem,
    kdf,
    cipher,
    private: encrypted,
  } = value as KeyFile;
  return (
    format === FORMAT &&
    (KeyAlgorithm as readonly unknown[]).includes(algorithm) &&
    typeof publicPem === "string" &&
    kdf?.name === "scrypt" &&
    isHex(kdf.salt) &&
    kdf.salt.length >= 32 &&
    kdf.salt.length <= 128 &&
    cipher?.name === CIPHER &&
    isHex(cipher.iv, IV_BYTES) &&
    isHex(cipher.tag, TAG_BYTES) &&
    isHex(encrypted)
  );
}

function isBearable({ N, r, p }: ScryptCost): boolean {
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 1;
  const isPowerOfTwo = isCount(N) && N >= 2 && Number.isInteger(Math.log2(N));
  return (
    isPowerOfTwo && isCount(r) && isCount(p) && p <= MAX_PARALLEL && 128 * N * r <= MAX_SCRYPT_BYTES
  );
}

function isHex(text: unknown, bytes?: number): text is string {
  return (
    typeof text === "string" &&
    /^(?:[0-9a-f]{2})+$/.test(text) &&
    (bytes === undefined || text.length === 2 * bytes)
  );
}

async function decrypt(file: string, content: KeyFile, lock: Lock): Promise<Buffer> {
  const { kdf, cipher } = content;
  const key = await lock.derive(kdf);
  const iv = Buffer.from(cipher.iv, "hex");
  const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(boundTo(content.algorithm, content.public));
  decipher.setAuthTag(Buffer.from(cipher.tag, "hex"));
  try {
    return Buffer.concat([decipher.update(Buffer.from(content.private, "hex")), decipher.final()]);
  } catch {
    const what = `${file}: this passphrase does not open it, or it was altered`;
    throw new KeyStoreError("KEY_STORE_PASSPHRASE_WRONG", what);
  }
}

/** Nobody can put another public key or algorithm beside a private one. */
function boundTo(algorithm: KeyAlgorithm, publicPem: string): Buffer {
  return Buffer.from(`${FORMAT}\n${algorithm}\n${publicPem}`, "utf8");
}

function deriveKey(passphrase: string, salt: Buffer, { N, r, p }: ScryptCost): Promise<Buffer> {
  // The same passphrase, typed on another machine, may come in another form of its letters.
  const secret = Buffer.from(passphrase.normalize("NFC"), "utf8");
  const maxmem = 128 * r * (N + p) + 1024 * 1024;
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, 32, { N, r, p, maxmem }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function storedKey(file: string, read: () => KeyObject): Omit<StoredKey, "isPlain"> {
  let privateKey: KeyObject;
  try {
    privateKey = read();
  } catch {
    // OpenSSL's reason is about its parser, and no help.
    throw invalid(file, "holds no private key");
  }
  const algorithm = keyAlgorithmOf(privateKey);
  if (algorithm === undefined) throw invalid(file, "holds a key of an algorithm that is not used");
  return { algorithm, privateKey };
}

function invalid(file: string, what: string): KeyStoreError {
  return new KeyStoreError("KEY_STORE_FILE_INVALID", `${file} ${what}`);
}
