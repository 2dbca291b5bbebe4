import { createHash } from "node:crypto";
import { Type, type Static } from "typebox";
import type { Signer } from "#crypto/signing-keys.ts";
import { keyId, keyRecord, schemeOf, type TrustedKey } from "./key.ts";
import type { SignatureScheme } from "./scheme.ts";
import { verifyNative, type VerifySignature } from "./verify-signature.ts";

/** An ML-DSA-87 signature, the longest there is, has 4,627 bytes. */
export const MAX_SIGNATURE_DIGITS = 2 * 4627;

/** One signature beside what it signs; `sig` is lower-case hex. */
export const Signature = Type.Object(
  {
    keyid: Type.String({ pattern: "^[0-9a-f]{64}$" }),
    sig: Type.String({ maxLength: MAX_SIGNATURE_DIGITS, pattern: "^(?:[0-9a-f]{2})+$" }),
  },
  { additionalProperties: false },
);
export type Signature = Static<typeof Signature>;

/** Signs canonical bytes with every signer, each in the scheme of its key; ordered by key id. */
export async function signBytes(
  bytes: Uint8Array,
  signers: readonly Signer[],
): Promise<Signature[]> {
  const signatures = await Promise.all(
    signers.map(async (signer) => {
      const record = keyRecord(signer.publicKey);
      const signature = await signer.sign(signedBytes(bytes, schemeOf(record)));
      return { keyid: keyId(record), sig: signature.toString("hex") };
    }),
  );
  return signatures.sort((a, b) => (a.keyid < b.keyid ? -1 : 1));
}

/** Whether a signature over canonical bytes is this key's; one that is not hex never is. */
export function isSignedBy(
  bytes: Uint8Array,
  key: TrustedKey,
  signature: Signature,
  verify: VerifySignature = verifyNative,
): boolean {
  // Buffer would stop at the first wrong digit and take what is before it.
  if (!/^(?:[0-9a-f]{2})+$/i.test(signature.sig)) return false;
  return verify(key, signedBytes(bytes, key.scheme), Buffer.from(signature.sig, "hex"));
}

const TAP_21_PREFIX = Buffer.from("tuf", "latin1");

/**
 * What a scheme's signature covers: the bytes, or for ML-DSA TAP 21's
 * `"tuf" || version || SHA-512(bytes)`, signed with pure ML-DSA and an empty context.
 */
export function signedBytes(bytes: Uint8Array, scheme: SignatureScheme): Uint8Array {
  if (scheme.version === undefined) return bytes;
  return Buffer.concat([
    TAP_21_PREFIX,
    Buffer.of(scheme.version),
    createHash("sha512").update(bytes).digest(),
  ]);
}
