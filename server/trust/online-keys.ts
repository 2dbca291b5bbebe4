import { createPublicKey } from "node:crypto";
import { HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { openKeyStore, type KeyStoreSettings } from "#crypto/key-store.ts";
import type { Signer } from "#crypto/signing-keys.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { TrustedKey } from "#protocol/uptane/key.ts";
import type { Metadata, TopLevelRole } from "#protocol/uptane/metadata.ts";

/** The gateway's signing keys. Which of them speaks for a role, the root says. */
export interface OnlineKeys {
  /**
   * Those that sign a role under this root.
   * @throws ProblemError TRUST_KEY_MISSING when they are too few for a vehicle to be content
   */
  signersFor(root: Metadata<"root">, role: TopLevelRole): Promise<Signer[]>;
  /** As above, however few. */
  held(root: Metadata<"root">, role: TopLevelRole): Promise<Signer[]>;
  /** Makes a hybrid pair; it signs nothing before a root names it. */
  makePair(): Promise<Signer[]>;
}

/**
 * Opens the key store. Keys that another gateway has put there since are found when a root names
 * them.
 * @throws KeyStoreError KEY_STORE_*
 */
export async function openOnlineKeys(
  folder: string,
  passphrase: string | undefined,
  settings: KeyStoreSettings = {},
): Promise<OnlineKeys> {
  let store = await openKeyStore(folder, passphrase, settings);
  const looked = new WeakMap<Metadata<"root">, number>();
  const known = new WeakMap<Metadata<"root">, Map<TopLevelRole, Signer[]>>();

  function find(root: Metadata<"root">, role: TopLevelRole): Signer[] {
    return keysOf(root, role).flatMap((key) => store.signer(keyObject(key)) ?? []);
  }

  async function held(root: Metadata<"root">, role: TopLevelRole): Promise<Signer[]> {
    const ofRoot = known.get(root) ?? new Map<TopLevelRole, Signer[]>();
    known.set(root, ofRoot);
    let signers = ofRoot.get(role) ?? find(root, role);
    const since = Date.now() - (looked.get(root) ?? 0);
    if (!areEnough(root, role, signers) && since >= REOPEN_MS) {
      looked.set(root, Date.now());
      store = await openKeyStore(folder, passphrase, settings);
      signers = find(root, role);
    }
    if (areEnough(root, role, signers)) ofRoot.set(role, signers);
    return signers;
  }

  return {
    held,
    async signersFor(root, role) {
      const signers = await held(root, role);
      if (areEnough(root, role, signers)) return signers;
      const what = `root ${root.signed.version} names keys for ${role} that are not in ${folder}`;
      throw new ProblemError("TRUST_KEY_MISSING", what);
    },
    makePair: () => Promise.all(HYBRID_ALGORITHMS.map((algorithm) => store.make(algorithm))),
  };
}

/** Opening takes a tenth of a second: not for each vehicle that asks under a root that lacks keys. */
const REOPEN_MS = 5000;

function keysOf(root: Metadata<"root">, role: TopLevelRole): TrustedKey[] {
  return root.signed.roles[role].keyids.flatMap((id) => root.keys.get(id) ?? []);
}

function keyObject({ publicKey }: TrustedKey) {
  return createPublicKey({ key: publicKey.der, format: "der", type: "spki" });
}

/** Vehicles ask each family for the threshold. */
function areEnough(
  root: Metadata<"root">,
  role: TopLevelRole,
  signers: readonly Signer[],
): boolean {
  const classical = signers.filter(({ algorithm }) => algorithm === "ecdsa-p256").length;
  const { threshold } = root.signed.roles[role];
  return classical >= threshold && signers.length - classical >= threshold;
}
