import {
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  scryptSync,
  verify,
} from "node:crypto";
import { readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { encryptKeyStore, openKeyStore } from "#crypto/key-store.ts";
import { readPassphrase } from "#crypto/passphrase.ts";
import { testFolder } from "#test/helpers/folder.ts";

/** So that the tests take less than a second; one test is of the real cost. */
const CHEAP = { N: 2, r: 1, p: 1 };
const PASSPHRASE = "correct horse";
const OTHER = "battery staple";
const MESSAGE = Buffer.from("Latticeway");

interface KeyFile {
  algorithm: string;
  public: string;
  kdf: { name: string; N: number; r: number; p: number; salt: string };
  cipher: { name: string; iv: string; tag: string };
  private: string;
}

async function onlyFile(folder: string): Promise<string> {
  const [name = "", ...more] = await readdir(folder);
  expect(more).toEqual([]);
  return join(folder, name);
}

async function stored(file: string): Promise<KeyFile> {
  return JSON.parse(await readFile(file, "utf8")) as KeyFile;
}

describe("a key store", () => {
  test.each(KeyAlgorithm)("keeps %s keys, encrypted and not", async (algorithm) => {
    for (const passphrase of [PASSPHRASE, undefined]) {
      const folder = join(testFolder(), "keys");
      const made = await (await openKeyStore(folder, passphrase, { cost: CHEAP })).make(algorithm);
      const store = await openKeyStore(folder, passphrase);
      expect(store.list().map((signer) => signer.algorithm)).toEqual([algorithm]);
      const signature = await store.signer(made.publicKey)?.sign(MESSAGE);
      const digest = algorithm === "ecdsa-p256" ? "sha256" : null;
      expect(verify(digest, MESSAGE, made.publicKey, signature ?? Buffer.alloc(0))).toBe(true);
    }
  });

  test("lets nobody else read the files, and names them by the key", async () => {
    const folder = join(testFolder(), "keys");
    const { publicKey } = await (
      await openKeyStore(folder, PASSPHRASE, { cost: CHEAP })
    ).make("ecdsa-p256");
    const file = await onlyFile(folder);
    expect(file).toMatch(/\/ecdsa-p256-[0-9a-f]{16}\.key$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect(createPublicKey((await stored(file)).public).equals(publicKey)).toBe(true);
  });

  test("knows the signers it made, and no others", async () => {
    const store = await openKeyStore(testFolder(), undefined);
    const other = await (await openKeyStore(testFolder(), undefined)).make("ml-dsa-65");
    const made = await store.make("ml-dsa-65");
    await store.make("ecdsa-p256");
    expect(store.signer(made.publicKey)).toBe(made);
    expect(store.signer(other.publicKey)).toBeUndefined();
    expect(store.list().map(({ algorithm }) => algorithm)).toEqual(["ecdsa-p256", "ml-dsa-65"]);
  });

  test("derives the key with scrypt at N 32768, r 8, p 1, and seals with AES-256-GCM", async () => {
    const folder = testFolder();
    const { publicKey } = await (
      await openKeyStore(folder, "p\u00e4ss p\u00e4ss p\u00e4ss")
    ).make("ecdsa-p256");
    const file = await stored(await onlyFile(folder));
    expect(file.kdf).toMatchObject({ name: "scrypt", N: 32_768, r: 8, p: 1 });
    const options = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
    const key = scryptSync(
      "p\u00e4ss p\u00e4ss p\u00e4ss",
      Buffer.from(file.kdf.salt, "hex"),
      32,
      options,
    );
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(file.cipher.iv, "hex"));
    decipher.setAAD(Buffer.from(`latticeway-key/1\n${file.algorithm}\n${file.public}`));
    decipher.setAuthTag(Buffer.from(file.cipher.tag, "hex"));
    const content = Buffer.concat([
      decipher.update(Buffer.from(file.private, "hex")),
      decipher.final(),
    ]);
    const der = createPrivateKey({ key: content, type: "pkcs8", format: "der" });
    expect(createPublicKey(der).equals(publicKey)).toBe(true);
  });

  test("derives one key for all files of a folder, also for those of a later run", async () => {
    const folder = testFolder();
    const store = await openKeyStore(folder, PASSPHRASE, { cost: CHEAP });
    await store.make("ecdsa-p256");
    await store.make("ecdsa-p256");
    await (await openKeyStore(folder, PASSPHRASE, { cost: CHEAP })).make("ecdsa-p256");
    const names = await readdir(folder);
    const files = await Promise.all(names.map((name) => stored(join(folder, name))));
    expect(new Set(files.map(({ kdf }) => kdf.salt)).size).toBe(1);
    expect(new Set(files.map(({ cipher }) => cipher.iv)).size).toBe(3);
    await (await openKeyStore(folder, PASSPHRASE, { cost: { ...CHEAP, N: 4 } })).make("ecdsa-p256");
    expect((await openKeyStore(folder, PASSPHRASE)).list()).toHaveLength(4);
  });

  test("opens with the passphrase in another Unicode form", async () => {
    const folder = testFolder();
    await (
      await openKeyStore(folder, "p\u00e4ss p\u00e4ss p\u00e4ss", { cost: CHEAP })
    ).make("ecdsa-p256");
    expect((await openKeyStore(folder, "pa\u0308ss pa\u0308ss pa\u0308ss")).list()).toHaveLength(1);
  });

  test("opens by no other passphrase, and by none", async () => {
    const folder = testFolder();
    await (await openKeyStore(folder, PASSPHRASE, { cost: CHEAP })).make("ecdsa-p256");
    await expect(openKeyStore(folder, OTHER)).rejects.toMatchObject({
      code: "KEY_STORE_PASSPHRASE_WRONG",
    });
    await expect(openKeyStore(folder, undefined)).rejects.toMatchObject({
      code: "KEY_STORE_PASSPHRASE_REQUIRED",
    });
  });

  test("takes no key in the clear beside a passphrase, unless that is asked for", async () => {
    const folder = testFolder();
    const made = await (await openKeyStore(folder, undefined)).make("ecdsa-p256");
    await expect(openKeyStore(folder, PASSPHRASE)).rejects.toMatchObject({
      code: "KEY_STORE_FILE_PLAIN",
      message: expect.stringContaining(`trust encrypt-keys --keys ${folder}`) as string,
    });
    const store = await openKeyStore(folder, PASSPHRASE, { acceptPlain: true });
    expect(store.signer(made.publicKey)).toBeDefined();
  });

  test("is encrypted in its place, what was in the clear of it", async () => {
    const folder = testFolder();
    const plain = await (await openKeyStore(folder, undefined)).make("ml-dsa-65");
    const [name = ""] = await readdir(folder);
    const mixed = await openKeyStore(folder, PASSPHRASE, { cost: CHEAP, acceptPlain: true });
    const encrypted = await mixed.make("ecdsa-p256");
    await expect(encryptKeyStore(folder, OTHER, CHEAP)).rejects.toMatchObject({
      code: "KEY_STORE_PASSPHRASE_WRONG",
    });
    expect(await readFile(join(folder, name), "utf8")).toContain("PRIVATE KEY");
    expect(await encryptKeyStore(folder, PASSPHRASE, CHEAP)).toEqual([join(folder, name)]);
    expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toHaveLength(2);
    const store = await openKeyStore(folder, PASSPHRASE);
    for (const { publicKey } of [plain, encrypted]) expect(store.signer(publicKey)).toBeDefined();
    expect(await encryptKeyStore(folder, PASSPHRASE, CHEAP)).toEqual([]);
  });

  test("refuses a public key or algorithm put in the place of another", async () => {
    const folder = testFolder();
    const store = await openKeyStore(folder, PASSPHRASE, { cost: CHEAP });
    await store.make("ecdsa-p256");
    const file = await onlyFile(folder);
    const other = await (await openKeyStore(testFolder(), undefined)).make("ecdsa-p256");
    const content = await stored(file);
    for (const change of [
      { public: other.publicKey.export({ type: "spki", format: "pem" }) },
      { algorithm: "ml-dsa-65" },
    ]) {
      await writeFile(file, JSON.stringify({ ...content, ...change }));
      await expect(openKeyStore(folder, PASSPHRASE)).rejects.toMatchObject({
        code: "KEY_STORE_PASSPHRASE_WRONG",
      });
    }
  });

  test.each<[string, (file: KeyFile) => unknown]>([
    ["more memory than there is", (file) => ({ ...file, kdf: { ...file.kdf, N: 2 ** 40 } })],
    ["a cost that is no power of two", (file) => ({ ...file, kdf: { ...file.kdf, N: 3 } })],
    ["a fraction as cost", (file) => ({ ...file, kdf: { ...file.kdf, r: 0.5 } })],
    ["much time", (file) => ({ ...file, kdf: { ...file.kdf, p: 1000 } })],
    ["another derivation", (file) => ({ ...file, kdf: { ...file.kdf, name: "none" } })],
    ["another cipher", (file) => ({ ...file, cipher: { ...file.cipher, name: "aes-256-cbc" } })],
    ["a short tag", (file) => ({ ...file, cipher: { ...file.cipher, tag: "00000000" } })],
    ["a short salt", (file) => ({ ...file, kdf: { ...file.kdf, salt: "00" } })],
    ["another format", (file) => ({ ...file, format: "latticeway-key/2" })],
    ["no cipher", ({ cipher: _cipher, ...file }) => file],
    ["a list", () => []],
    ["null", () => null],
    ["a file without end", (file) => ({ ...file, private: "00".repeat(100_000) })],
  ])("refuses %s", async (_name, change) => {
    const folder = testFolder();
    await (await openKeyStore(folder, PASSPHRASE, { cost: CHEAP })).make("ecdsa-p256");
    const file = await onlyFile(folder);
    await writeFile(file, JSON.stringify(change(await stored(file))));
    await expect(openKeyStore(folder, PASSPHRASE)).rejects.toMatchObject({
      code: "KEY_STORE_FILE_INVALID",
    });
  });

  test.each([
    ["text", "no key"],
    ["half a PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
  ])("refuses %s", async (_name, text) => {
    const folder = testFolder();
    await writeFile(join(folder, "ml-dsa-65-0123456789abcdef.key"), text);
    const refused = openKeyStore(folder, undefined);
    await expect(refused).rejects.toMatchObject({ code: "KEY_STORE_FILE_INVALID" });
  });

  test("refuses a key under another key's name, and leaves other files alone", async () => {
    const folder = testFolder();
    await (await openKeyStore(folder, undefined)).make("ecdsa-p256");
    const file = await onlyFile(folder);
    await writeFile(join(folder, "README"), "");
    expect((await openKeyStore(folder, undefined)).list()).toHaveLength(1);
    await rename(file, join(folder, "ecdsa-p256-0123456789abcdef.key"));
    await expect(openKeyStore(folder, undefined)).rejects.toMatchObject({
      code: "KEY_STORE_FILE_INVALID",
    });
  });
});

describe("a passphrase", () => {
  test("has at least 12 characters, however they are encoded, to make keys and to open them", async () => {
    const folder = join(testFolder(), "keys");
    for (const short of ["", "elevenchars", "\u{1f40e}".repeat(6), "a\u0308".repeat(11)]) {
      const refused = { code: "KEY_STORE_PASSPHRASE_TOO_SHORT" };
      await expect(openKeyStore(folder, short)).rejects.toMatchObject(refused);
      await expect(encryptKeyStore(folder, short)).rejects.toMatchObject(refused);
    }
    await expect(readdir(folder)).rejects.toMatchObject({ code: "ENOENT" });
    expect((await openKeyStore(folder, "\u{1f40e}".repeat(12))).list()).toEqual([]);
  });

  test("is the first line of a file, or else what is given", async () => {
    const file = join(testFolder(), "passphrase");
    await writeFile(file, "from the file\r\nand more\n");
    expect(await readPassphrase(file, "given")).toBe("from the file");
    expect(await readPassphrase(undefined, "given")).toBe("given");
    expect(await readPassphrase("", "")).toBeUndefined();
  });

  test("is refused when the file is absent, empty or endless", async () => {
    const file = join(testFolder(), "passphrase");
    const refused = { code: "KEY_STORE_PASSPHRASE_INVALID" };
    await expect(readPassphrase(file, "given")).rejects.toMatchObject(refused);
    for (const text of ["", "\nsecond line", "x".repeat(1025)]) {
      await writeFile(file, text);
      await expect(readPassphrase(file, "given")).rejects.toMatchObject(refused);
    }
  });
});
