import { describe, expect, test } from "vitest";
import { generateKeys, type KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import { buildTargets } from "#protocol/uptane/build.ts";
import { keyId, keyRecord, metadataKeys } from "#protocol/uptane/key.ts";
import { addSignatures, parseAnyMetadata, signMetadata } from "#protocol/uptane/sign.ts";
import { verifyThreshold } from "#protocol/uptane/threshold.ts";

const newSigner = (algorithm: KeyAlgorithm): Signer =>
  keySigner(algorithm, generateKeys(algorithm).privateKey);
const ecdsa = newSigner("ecdsa-p256");
const mlDsa = newSigner("ml-dsa-65");
const id = ({ publicKey }: Signer) => keyId(keyRecord(publicKey));
const signed = buildTargets(
  { version: 1, expires: new Date("2027-01-01T00:00:00Z") },
  { targets: {} },
);

function isSigned(bytes: Uint8Array, signers: readonly Signer[]): boolean {
  const { signedBytes, signatures } = parseAnyMetadata(bytes);
  const keys = metadataKeys(
    Object.fromEntries(signers.map((signer) => [id(signer), keyRecord(signer.publicKey)])),
  );
  return verifyThreshold(signedBytes, signatures, { keys, threshold: 1 }).signed;
}

describe("signing metadata", () => {
  test("gives a file that both families have signed, with members nobody knows", async () => {
    const bytes = await signMetadata({ ...signed, extra: { b: 1, a: "line\nbreak" } }, [
      mlDsa,
      ecdsa,
    ]);
    expect(isSigned(bytes, [ecdsa, mlDsa])).toBe(true);
    const file = parseAnyMetadata(bytes);
    expect(file.signed).toMatchObject({ extra: { a: "line\nbreak" } });
    expect(file.signatures.map(({ keyid }) => keyid)).toEqual([id(ecdsa), id(mlDsa)].sort());
  });

  test("can be done by one after the other, and again", async () => {
    const first = await signMetadata({ ...signed, extra: 1 }, [ecdsa]);
    expect(isSigned(first, [ecdsa, mlDsa])).toBe(false);
    const second = await addSignatures(first, [mlDsa]);
    expect(isSigned(second, [ecdsa, mlDsa])).toBe(true);
    const third = await addSignatures(second, [ecdsa, mlDsa]);
    expect(isSigned(third, [ecdsa, mlDsa])).toBe(true);
    expect(parseAnyMetadata(third).signatures).toHaveLength(2);
    expect(parseAnyMetadata(third).signedBytes).toEqual(parseAnyMetadata(first).signedBytes);
  });

  test("replaces what was signed before the file was altered", async () => {
    const text = String(await signMetadata(signed, [ecdsa, mlDsa]));
    const altered = Buffer.from(text.replace('"version":1', '"version":2'));
    expect(isSigned(altered, [ecdsa, mlDsa])).toBe(false);
    expect(isSigned(await addSignatures(altered, [ecdsa]), [ecdsa, mlDsa])).toBe(false);
    expect(isSigned(await addSignatures(altered, [ecdsa, mlDsa]), [ecdsa, mlDsa])).toBe(true);
  });

  test("without signers gives a file to be signed elsewhere", async () => {
    const bytes = await signMetadata(signed, []);
    expect(parseAnyMetadata(bytes).signatures).toEqual([]);
  });

  test.each<[string, string, string]>([
    ["no JSON", "{", "UPTANE_METADATA_MALFORMED"],
    ["no object", "null", "UPTANE_METADATA_TYPE"],
    ["no role", '{"signed":{"_type":"mirrors"},"signatures":[]}', "UPTANE_METADATA_TYPE"],
    ["an inherited name", '{"signed":{"_type":"constructor"}}', "UPTANE_METADATA_TYPE"],
    ["endless nesting", "[".repeat(1000), "UPTANE_METADATA_TOO_DEEP"],
    ["half a role", '{"signed":{"_type":"root"},"signatures":[]}', "UPTANE_METADATA_MALFORMED"],
  ])("refuses %s", async (_name, text, code) => {
    await expect(addSignatures(Buffer.from(text), [ecdsa])).rejects.toMatchObject({ code });
  });

  test("refuses a key that is there twice, and names it", () => {
    const text = '{"signed":{"_type":"root","expires":"","expires":""},"signatures":[]}';
    expect(() => parseAnyMetadata(Buffer.from(text))).toThrow(
      expect.objectContaining({
        code: "UPTANE_METADATA_DUPLICATE_KEY",
        message: expect.stringContaining('a second "expires"') as string,
      }) as Error,
    );
  });

  test("refuses what has no canonical form", async () => {
    await expect(signMetadata({ ...signed, version: 1.5 }, [])).rejects.toMatchObject({
      code: "CANONICAL_JSON_UNSUPPORTED",
    });
  });
});
