import { writeSigningPublicKeys, type Signer } from "#crypto/signing-keys.ts";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { liveFile, liveVersion } from "./queries.ts";
import type { TrustDeps } from "./trust.ts";

/**
 * Packages are signed by the keys of the director's targets, so that they are rotated with them and
 * vehicles know them by the root that they trust. For vehicles without one, and for checks by hand,
 * the public keys lie in `folder`.
 * @throws ProblemError TRUST_KEY_MISSING
 */
export function packageSigners(
  { db, keys }: Pick<TrustDeps, "db" | "keys">,
  folder: string,
): () => Promise<readonly Signer[]> {
  let current: { version: number; signers: readonly Signer[] } | undefined;
  return async () => {
    const version = await liveVersion(db, "director", "root");
    if (version !== undefined && version === current?.version) return current.signers;
    const bytes = await liveFile(db, "director", "root");
    if (bytes === undefined) throw new TypeError("the director has no root");
    const root = parseMetadata("root", bytes);
    const signers = await keys.signersFor(root, "targets");
    await writeSigningPublicKeys(folder, signers);
    current = { version: root.signed.version, signers };
    return signers;
  };
}
