import { generateKeyPairSync, verify } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { generateKeys, KeyAlgorithm } from "#crypto/key-algorithm.ts";
import type { PkiError } from "#crypto/pki-error.ts";
import { keySigner, loadSigningPublicKeys } from "#crypto/signing-keys.ts";
import { signingPairIn } from "#test/helpers/signing-pair.ts";
import { temporaryFolder } from "./connection.ts";

const MESSAGE = Buffer.from("Latticeway");

describe("the public keys of signers", () => {
  test("are left to be read, and replaced by those of others", async () => {
    const folder = join(await temporaryFolder(), "keys");
    for (let round = 0; round < 2; round++) {
      const signers = await signingPairIn(folder);
      const keys = await loadSigningPublicKeys(folder);
      expect(keys.map((key, index) => signers[index]?.publicKey.equals(key))).toEqual([true, true]);
    }
  });

  test("that are missing or no keys are refused", async () => {
    const folder = await temporaryFolder();
    await signingPairIn(folder);
    await writeFile(join(folder, "ml-dsa-65.pub"), "not a key");
    await expect(loadSigningPublicKeys(folder)).rejects.toThrow(
      expect.objectContaining({ code: "PKI_KEY_UNREADABLE" }) as PkiError,
    );
    await rm(join(folder, "ml-dsa-65.pub"));
    await expect(loadSigningPublicKeys(folder)).rejects.toThrow(
      expect.objectContaining({ code: "PKI_KEY_MISSING" }) as PkiError,
    );
  });
});

describe("a signer", () => {
  test.each(KeyAlgorithm)("%s signs what its public key verifies", async (algorithm) => {
    const signer = keySigner(algorithm, generateKeys(algorithm).privateKey);
    const digest = algorithm === "ecdsa-p256" ? "sha256" : null;
    const signature = await signer.sign(MESSAGE);
    expect(verify(digest, MESSAGE, signer.publicKey, signature)).toBe(true);
    expect(verify(digest, Buffer.from("other"), signer.publicKey, signature)).toBe(false);
  });

  test("that can't sign rejects instead of throwing", async () => {
    const { privateKey } = generateKeyPairSync("x25519");
    await expect(keySigner("ml-dsa-65", privateKey).sign(MESSAGE)).rejects.toThrow(/not supported/);
  });
});
