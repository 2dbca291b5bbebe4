import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import type { PkiError } from "#crypto/pki-error.ts";
import { ensureSigningKeys, keySigner, loadSigningPublicKeys } from "#crypto/signing-keys.ts";
import { temporaryFolder } from "./connection.ts";

const MESSAGE = Buffer.from("Latticeway");

describe("signing keys", () => {
  test("are made once, kept to their owner, and the same next time", async () => {
    const folder = join(await temporaryFolder(), "keys");
    const first = await ensureSigningKeys(folder);
    expect(first.map(({ algorithm }) => algorithm)).toEqual(["ecdsa-p256", "ml-dsa-65"]);
    const again = await ensureSigningKeys(folder);
    for (const [index, signer] of first.entries()) {
      expect(again[index]?.publicKey.equals(signer.publicKey)).toBe(true);
      const file = join(folder, `${signer.algorithm}.key`);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      const stored = createPublicKey(createPrivateKey(await readFile(file, "utf8")));
      expect(stored.equals(signer.publicKey)).toBe(true);
    }
  });

  test("leave their public halves to be read without the private ones", async () => {
    const folder = await temporaryFolder();
    const signers = await ensureSigningKeys(folder);
    for (const { algorithm } of signers) await rm(join(folder, `${algorithm}.key`));
    const keys = await loadSigningPublicKeys(folder);
    expect(keys.map((key, index) => signers[index]?.publicKey.equals(key))).toEqual([true, true]);
    await rm(join(folder, "ml-dsa-65.pub"));
    await expect(loadSigningPublicKeys(folder)).rejects.toThrow(/is missing/);
  });

  test("are the same for all that start at once", async () => {
    const folder = await temporaryFolder();
    const all = await Promise.all(Array.from({ length: 8 }, () => ensureSigningKeys(folder)));
    const keys = all.map((pair) =>
      pair.map(({ publicKey }) =>
        publicKey.export({ type: "spki", format: "der" }).toString("hex"),
      ),
    );
    expect(new Set(keys.map(String)).size).toBe(1);
  });

  test.each(KeyAlgorithm)("%s signs what its public key verifies", async (algorithm) => {
    const [signer] = await ensureSigningKeys(await temporaryFolder(), [algorithm]);
    if (signer === undefined) throw new Error("no signer");
    const digest = algorithm === "ecdsa-p256" ? "sha256" : null;
    const signature = await signer.sign(MESSAGE);
    expect(verify(digest, MESSAGE, signer.publicKey, signature)).toBe(true);
    expect(verify(digest, Buffer.from("other"), signer.publicKey, signature)).toBe(false);
  });

  test("of the wrong kind are refused, and so is what is no key", async () => {
    const folder = await temporaryFolder();
    await ensureSigningKeys(folder);
    await writeFile(join(folder, "ml-dsa-65.key"), await readFile(join(folder, "ecdsa-p256.key")));
    await expect(ensureSigningKeys(folder)).rejects.toThrow(
      expect.objectContaining({ code: "PKI_KEY_MISMATCH" }) as PkiError,
    );
    await writeFile(join(folder, "ml-dsa-65.key"), "not a key");
    await expect(ensureSigningKeys(folder)).rejects.toThrow(
      expect.objectContaining({ code: "PKI_KEY_UNREADABLE" }) as PkiError,
    );
  });

  test("a signer that can't sign rejects instead of throwing", async () => {
    const { privateKey } = generateKeyPairSync("x25519");
    await expect(keySigner("ml-dsa-65", privateKey).sign(MESSAGE)).rejects.toThrow(/not supported/);
  });
});
