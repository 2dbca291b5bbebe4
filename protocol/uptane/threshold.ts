import type { TrustedKeys } from "./key.ts";
import type { KeyFamily } from "./scheme.ts";
import { isSignedBy, type Signature } from "./signature.ts";
import type { VerifySignature } from "./verify-signature.ts";

/** Why a set of signatures is not enough. */
export const SignatureRefusal = {
  /** Two signatures name the same key. */
  duplicate: "SIGNATURE_DUPLICATE",
  /** No trusted key of this family has signed. */
  missing: "SIGNATURE_MISSING",
  /** A trusted key of this family is named, but its signature is wrong, and the rest is not enough. */
  invalid: "SIGNATURE_INVALID",
  /** Right signatures, but of too few keys of this family. */
  underThreshold: "SIGNATURE_UNDER_THRESHOLD",
} as const;
export type SignatureRefusal = (typeof SignatureRefusal)[keyof typeof SignatureRefusal];

export type SignatureOutcome =
  | { signed: true }
  | { signed: false; code: SignatureRefusal; detail: string };

/** Hybrid mode: a break of either family alone forges nothing. */
const HYBRID_FAMILIES: readonly KeyFamily[] = ["classical", "post-quantum"];

/** Who must have signed. */
export interface SigningRule {
  keys: TrustedKeys;
  threshold: number;
  /** The families that must reach the threshold each; none asks only for the threshold in all. */
  families?: readonly KeyFamily[];
  verify?: VerifySignature;
}

/**
 * Whether `threshold` different trusted keys *of each family* have signed the bytes. Signatures of
 * keys that aren't trusted count for nothing; a key under two records counts once.
 * @throws RangeError for a threshold below 1, which would accept anything.
 */
export function verifyThreshold(
  bytes: Uint8Array,
  signatures: readonly Signature[],
  rule: SigningRule,
): SignatureOutcome {
  if (!Number.isSafeInteger(rule.threshold) || rule.threshold < 1) {
    throw new RangeError(`a threshold of ${rule.threshold} signatures`);
  }
  const named = new Set<string>();
  for (const { keyid } of signatures) {
    if (named.has(keyid))
      return refuse(SignatureRefusal.duplicate, `two signatures of key ${keyid}`);
    named.add(keyid);
  }
  const families = rule.families ?? HYBRID_FAMILIES;
  for (const family of families.length === 0 ? [undefined] : families) {
    const outcome = verifyFamily(bytes, signatures, family, rule);
    if (!outcome.signed) return outcome;
  }
  return { signed: true };
}

function verifyFamily(
  bytes: Uint8Array,
  signatures: readonly Signature[],
  family: KeyFamily | undefined,
  rule: SigningRule,
): SignatureOutcome {
  const valid = new Set<string>();
  const invalid: string[] = [];
  for (const signature of signatures) {
    const key = rule.keys.get(signature.keyid);
    if (key === undefined || (family !== undefined && key.scheme.family !== family)) continue;
    if (isSignedBy(bytes, key, signature, rule.verify)) valid.add(key.fingerprint);
    else invalid.push(key.keyId);
  }
  if (valid.size >= rule.threshold) return { signed: true };
  const kind = family === undefined ? "" : `${family} `;
  if (invalid.length > 0) {
    return refuse(SignatureRefusal.invalid, `${kind}signature of key ${invalid.join(", ")}`);
  }
  if (valid.size === 0) {
    return refuse(SignatureRefusal.missing, `no signature of a trusted ${kind}key`);
  }
  return refuse(
    SignatureRefusal.underThreshold,
    `${valid.size} of ${rule.threshold} ${kind}signatures`,
  );
}

function refuse(code: SignatureRefusal, detail: string): SignatureOutcome {
  return { signed: false, code, detail };
}
