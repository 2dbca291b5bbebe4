import { Type } from "typebox";
import { Compile } from "typebox/compile";
import type { Signer } from "#crypto/signing-keys.ts";
import { canonicalJson, parseCanonicalJson } from "#protocol/uptane/canonical-json.ts";
import { keyId, keyRecord, type TrustedKeys } from "#protocol/uptane/key.ts";
import { signBytes, Signature } from "#protocol/uptane/signature.ts";
import { verifyThreshold, type SignatureRefusal } from "#protocol/uptane/threshold.ts";
import { PackageError, type PackageErrorCode } from "./package-error.ts";

const SIGNATURES_FORMAT = "latticeway-signatures/1";

/** Sixteen ML-DSA-87 signatures in hex, and something around them. */
export const MAX_SIGNATURES_BYTES = 160 * 1024;
const MAX_SIGNATURES = 16;

/** `manifest.sigs.json`: detached signatures over the bytes of `manifest.json`. */
const SignaturesFile = Type.Object(
  {
    format: Type.Literal(SIGNATURES_FORMAT),
    signatures: Type.Array(Signature, { maxItems: MAX_SIGNATURES }),
  },
  { additionalProperties: false },
);
const checkFile = Compile(SignaturesFile);

/** The bytes of `manifest.sigs.json`. Sign once and keep them: each signing gives other bytes. */
export async function signManifest(
  manifestBytes: Uint8Array,
  signers: readonly Signer[],
): Promise<Buffer> {
  const signatures = await signBytes(manifestBytes, signers);
  return canonicalJson({ format: SIGNATURES_FORMAT, signatures });
}

/** Has each of these signed? Tells by their key ids; whether a signature holds is not looked at. */
export function isSignedBy(signaturesBytes: Uint8Array, signers: readonly Signer[]): boolean {
  const file = parseCanonicalJson(signaturesBytes);
  if (!checkFile.Check(file)) return false;
  const ids = new Set(file.signatures.map(({ keyid }) => keyid));
  return signers.every(({ publicKey }) => ids.has(keyId(keyRecord(publicKey))));
}

/**
 * Demands that a trusted ECDSA key *and* a trusted ML-DSA key have signed the manifest (with a
 * higher threshold: that many of each).
 * @throws PackageError PACKAGE_SIGNATURE*, PACKAGE_UNDER_SIGNED
 */
export function verifyManifest(
  manifestBytes: Uint8Array,
  signaturesBytes: Uint8Array,
  keys: TrustedKeys,
  threshold = 1,
): void {
  const file =
    signaturesBytes.length <= MAX_SIGNATURES_BYTES
      ? parseCanonicalJson(signaturesBytes)
      : undefined;
  if (!checkFile.Check(file)) {
    throw new PackageError(
      "PACKAGE_SIGNATURES_MALFORMED",
      "manifest.sigs.json is not a signatures file",
    );
  }
  const outcome = verifyThreshold(manifestBytes, file.signatures, { keys, threshold });
  if (!outcome.signed) throw new PackageError(PACKAGE_CODES[outcome.code], outcome.detail);
}

const PACKAGE_CODES: Record<SignatureRefusal, PackageErrorCode> = {
  SIGNATURE_DUPLICATE: "PACKAGE_SIGNATURE_DUPLICATE",
  SIGNATURE_MISSING: "PACKAGE_SIGNATURE_MISSING",
  SIGNATURE_INVALID: "PACKAGE_SIGNATURE_INVALID",
  SIGNATURE_UNDER_THRESHOLD: "PACKAGE_UNDER_SIGNED",
};
