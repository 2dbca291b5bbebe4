import { createHash, type KeyObject } from "node:crypto";
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
      const { keyid, scheme } = signingKey(signer.publicKey);
      const signature = await signer.sign(signedBytes(bytes, scheme));
      return { keyid, sig: signature.toString("hex") };
    }),
  );
  return signatures.sort((a, b) => (a.keyid < b.keyid ? -1 : 1));
}

interface SigningKey {
  keyid: string;
  scheme: SignatureScheme;
}

/** Once for each key: writing a key out takes a tenth of an ML-DSA signature's time. */
const signingKeys = new WeakMap<KeyObject, SigningKey>();

function signingKey(publicKey: KeyObject): SigningKey {
  const known = signingKeys.get(publicKey);
  if (known !== undefined) return known;
  const record = keyRecord(publicKey);
  const found = { keyid: keyId(record), scheme: schemeOf(record) };
  signingKeys.set(publicKey, found);
  return found;
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
