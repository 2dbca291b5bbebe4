import type { Signer } from "#crypto/signing-keys.ts";
import { keyId, keyRecord } from "#protocol/uptane/key.ts";
import type { Metadata } from "#protocol/uptane/metadata.ts";
import type { KeyFamily } from "#protocol/uptane/scheme.ts";
import { verifyThreshold } from "#protocol/uptane/threshold.ts";
import type { RoleRule } from "#protocol/uptane/trusted.ts";
import { currentRoot, currentTargets, type Repository } from "./ceremony.ts";
import { CeremonyError } from "./ceremony-error.ts";

/** Keys of which enough have to sign a file. */
export interface SigningRule extends RoleRule {
  /** Who they are, `root 2`. */
  of: string;
}

/**
 * All whose signatures a file needs: a root its own root keys and those of the root before it
 * (TUF 1.0 §5.3.4), targets the keys that root names, delegated targets those of the delegation.
 * @throws CeremonyError CEREMONY_ROLE_UNKNOWN, CEREMONY_MISSING
 */
export function signingRules(
  repository: Repository,
  roleName: string,
  metadata: Metadata<"root" | "targets">,
): SigningRule[] {
  if (roleName === "root") return rootRules(repository, metadata);
  if (roleName === "targets") {
    const root = currentRoot(repository);
    const of = `targets of root ${root.signed.version}`;
    return [{ ...root.signed.roles.targets, keys: root.keys, of }];
  }
  return [delegationRule(repository, roleName)];
}

function rootRules({ roots }: Repository, root: Metadata<"root">): SigningRule[] {
  const rule = ({ signed, keys }: Metadata<"root">): SigningRule => ({
    ...signed.roles.root,
    keys,
    of: `root ${signed.version}`,
  });
  const { version } = root.signed;
  if (version === 1) return [rule(root)];
  const previous = roots.find(({ signed }) => signed.version === version - 1);
  if (previous === undefined) {
    const what = `${version - 1}.root.json, whose keys must sign root ${version}, is not there`;
    throw new CeremonyError("CEREMONY_MISSING", what);
  }
  return [rule(previous), rule(root)];
}

function delegationRule(repository: Repository, roleName: string): SigningRule {
  const { targets, drafts } = repository;
  const delegators = ["targets", ...targets.keys(), ...drafts.targets.keys()];
  for (const delegator of delegators) {
    const from = currentTargets(repository, delegator);
    const role = from?.signed.delegations?.roles.find(({ name }) => name === roleName);
    if (from && role) return { ...role, keys: from.keys, of: `${roleName} of ${delegator}` };
  }
  const what = `nobody delegates to ${JSON.stringify(roleName)}`;
  throw new CeremonyError("CEREMONY_ROLE_UNKNOWN", what);
}

/** Of the signers, those whose keys one of the rules names. */
export function signersFor(
  rules: readonly SigningRule[],
  signers: readonly Signer[],
): readonly Signer[] {
  const named = new Set(rules.flatMap(({ keyids }) => keyids));
  return signers.filter(({ publicKey }) => named.has(keyId(keyRecord(publicKey))));
}

const FAMILIES: readonly KeyFamily[] = ["classical", "post-quantum"];

/** What a file still needs, in words; nothing when all have signed. */
export function missingSignatures(
  { signedBytes, signatures }: Metadata<"root" | "targets">,
  rules: readonly SigningRule[],
): string[] {
  return rules.flatMap(({ of, keys, keyids, threshold }) => {
    const own = new Map([...keys].filter(([id]) => keyids.includes(id)));
    return FAMILIES.flatMap((family) => {
      const isSignedBy = (count: number) => {
        const rule = { keys: own, threshold: count, families: [family] };
        return verifyThreshold(signedBytes, signatures, rule).signed;
      };
      let signed = threshold;
      while (signed > 0 && !isSignedBy(signed)) signed -= 1;
      const missing = threshold - signed;
      if (missing === 0) return [];
      const count = threshold === 1 ? "a" : String(missing);
      const more = signed > 0 ? " more" : "";
      return [`${count}${more} ${family} key${missing === 1 ? "" : "s"} of ${of}`];
    });
  });
}
