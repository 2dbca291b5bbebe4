import { beforeAll, describe, expect, test } from "vitest";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import { PackageError } from "#protocol/package/package-error.ts";
import { signManifest, verifyManifest } from "#protocol/package/signatures.ts";
import { canonicalJson } from "#protocol/uptane/canonical-json.ts";
import type { Signature } from "#protocol/uptane/signature.ts";
import { samplePackage, type Sample } from "./sample.ts";

let sample: Sample;
let ecdsa: Signer;
let mlDsa: Signer;
beforeAll(async () => {
  sample = await samplePackage();
  [ecdsa, mlDsa] = sample.signers as [Signer, Signer];
});

function codeOf(signatures: Uint8Array, manifest: Uint8Array = sample.manifest, threshold = 1) {
  try {
    verifyManifest(manifest, signatures, sample.keys, threshold);
  } catch (error) {
    if (error instanceof PackageError) return error.code;
    throw error;
  }
  return "signed";
}

type SignaturesFile = { format: string; signatures: Signature[] };
const file = () => JSON.parse(sample.signatures.toString()) as SignaturesFile;

describe("a manifest's signatures", () => {
  test("hold for exactly these bytes", () => {
    expect(codeOf(sample.signatures)).toBe("signed");
    const other = Buffer.concat([sample.manifest, Buffer.from(" ")]);
    expect(codeOf(sample.signatures, other)).toBe("PACKAGE_SIGNATURE_INVALID");
  });

  test("are needed of both families", async () => {
    expect(codeOf(await signManifest(sample.manifest, [ecdsa]))).toBe("PACKAGE_SIGNATURE_MISSING");
    expect(codeOf(await signManifest(sample.manifest, [mlDsa]))).toBe("PACKAGE_SIGNATURE_MISSING");
    expect(codeOf(await signManifest(sample.manifest, []))).toBe("PACKAGE_SIGNATURE_MISSING");
  });

  test("of a foreign pair count for nothing", async () => {
    const strangers = (["ecdsa-p256", "ml-dsa-65"] as const).map((algorithm) =>
      keySigner(algorithm, generateKeys(algorithm).privateKey),
    );
    const signatures = await signManifest(sample.manifest, strangers);
    expect(codeOf(signatures)).toBe("PACKAGE_SIGNATURE_MISSING");
  });

  test("are needed as often as the threshold says", () => {
    expect(codeOf(sample.signatures, sample.manifest, 2)).toBe("PACKAGE_UNDER_SIGNED");
  });

  test("may name a key once", () => {
    const { format, signatures } = file();
    const twice = canonicalJson({ format, signatures: [...signatures, ...signatures] });
    expect(codeOf(twice)).toBe("PACKAGE_SIGNATURE_DUPLICATE");
  });

  test.each<[string, (file: SignaturesFile) => unknown]>([
    ["another format", (f) => ({ ...f, format: "latticeway-signatures/2" })],
    ["no list", (f) => ({ format: f.format })],
    [
      "an upper-case signature",
      (f) => ({ ...f, signatures: f.signatures.map((s) => ({ ...s, sig: s.sig.toUpperCase() })) }),
    ],
    [
      "half a byte",
      (f) => ({ ...f, signatures: f.signatures.map((s) => ({ ...s, sig: `${s.sig}a` })) }),
    ],
    [
      "an empty signature",
      (f) => ({ ...f, signatures: f.signatures.map((s) => ({ ...s, sig: "" })) }),
    ],
    [
      "a signature longer than any",
      (f) => ({ ...f, signatures: f.signatures.map((s) => ({ ...s, sig: "00".repeat(4628) })) }),
    ],
    [
      "more signatures than anyone has keys",
      (f) => ({
        ...f,
        signatures: Array.from({ length: 17 }, (_, i) => ({
          keyid: i.toString(16).padStart(64, "0"),
          sig: "00",
        })),
      }),
    ],
  ])("are malformed with %s", (_name, change) => {
    expect(codeOf(canonicalJson(change(file())))).toBe("PACKAGE_SIGNATURES_MALFORMED");
  });

  test("are malformed when they are no canonical JSON, or far too large", () => {
    expect(codeOf(Buffer.from(JSON.stringify(file(), null, 1)))).toBe(
      "PACKAGE_SIGNATURES_MALFORMED",
    );
    expect(codeOf(Buffer.alloc(1_000_000, "["))).toBe("PACKAGE_SIGNATURES_MALFORMED");
  });
});
