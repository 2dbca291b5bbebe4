import { createPublicKey } from "node:crypto";
import { HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { openKeyStore, type KeyStore } from "#crypto/key-store.ts";
import type { Signer } from "#crypto/signing-keys.ts";
import { buildRoot, type RoleKeys } from "#protocol/uptane/build.ts";
import { canonicalJson } from "#protocol/uptane/canonical-json.ts";
import { keyRecord } from "#protocol/uptane/key.ts";
import type { Metadata, TargetFile, TopLevelRole } from "#protocol/uptane/metadata.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { createBatcher } from "#server/database/batch.ts";
import type { Tx } from "#server/database/connection.ts";
import { countAwaiting, listImages } from "#server/firmware/queries.ts";
import { readImageSet, type ImageSet } from "./image.ts";
import { imageTarget } from "./image-target.ts";
import { publishWithin } from "./publication.ts";
import { markPublished } from "./published-images.ts";
import { liveExpiries, lockRepository } from "./queries.ts";
import { inHours, isDue, nextVersion, ONLINE_ROLES, type TrustDeps } from "./trust.ts";

const ROOT_HOURS = 10 * 365 * 24;
const TARGETS_HOURS = 365 * 24;

/** What is done offline in production: here the gateway holds those keys too. */
export interface OfflineRoles {
  /** The bytes of a first root, with keys that are made for it. */
  makeRoot(repository: RepositoryName): Promise<Buffer>;
  /** Signs image targets that name every image, if there are none that do. */
  signTargets(now: Date): Promise<void>;
  /** Do images wait, or do the targets end soon? */
  areDue(now: Date): Promise<boolean>;
}

/** @throws KeyStoreError KEY_STORE_* */
export async function openOfflineRoles(
  deps: TrustDeps,
  folder: string,
  passphrase: string | undefined,
): Promise<OfflineRoles> {
  const store = await openKeyStore(folder, passphrase, { acceptPlain: true });
  const batcher = createBatcher<Date>({
    // However many uploads end at once, their images are signed together.
    maxItems: 1000,
    flush: ([now = new Date()]) =>
      deps.db.transaction().execute((tx) => signTargets(deps, tx, store, now)),
  });
  return {
    makeRoot: (repository) => makeRoot(deps, store, repository),
    signTargets: (now) => batcher.push(now),
    areDue: async (now) => {
      if ((await countAwaiting(deps.db)) > 0) return true;
      const ends = (await liveExpiries(deps.db)).find(
        ({ repository, role }) => repository === "image" && role === "targets",
      );
      return ends === undefined || isDue(ends.expires_at, TARGETS_HOURS, deps.config, now);
    },
  };
}

async function makeRoot(
  { keys }: TrustDeps,
  store: KeyStore,
  repository: RepositoryName,
): Promise<Buffer> {
  const makeOffline = () =>
    Promise.all(HYBRID_ALGORITHMS.map((algorithm) => store.make(algorithm)));
  const signers = await makeOffline();
  const makeFor = async (role: TopLevelRole): Promise<RoleKeys> => {
    const isOnline = ONLINE_ROLES[repository].includes(role);
    return roleKeys(await (isOnline ? keys.makePair() : makeOffline()));
  };
  const root = buildRoot(
    { version: 1, expires: inHours(new Date(), ROOT_HOURS) },
    {
      root: roleKeys(signers),
      timestamp: await makeFor("timestamp"),
      snapshot: await makeFor("snapshot"),
      targets: await makeFor("targets"),
    },
  );
  return signMetadata(root, signers);
}

function roleKeys(signers: readonly Signer[]): RoleKeys {
  return { keys: signers.map(({ publicKey }) => keyRecord(publicKey)) };
}

async function signTargets(deps: TrustDeps, tx: Tx, store: KeyStore, now: Date): Promise<void> {
  await lockRepository(tx, "image");
  const set = await readImageSet(tx, "live");
  if (set === undefined) throw new TypeError("there is no root");
  const targets = { ...set.targets?.signed.targets, ...(await imageTargets(tx)) };
  if (isSettled(set, targets, deps, now)) {
    await markPublished(tx, set);
    return;
  }
  const bytes = await signMetadata(
    {
      // What somebody has delegated stays delegated.
      ...set.targets?.signed,
      _type: "targets",
      spec_version: set.root.signed.spec_version,
      version: nextVersion(set.targets?.signed.version, now),
      expires: `${inHours(now, TARGETS_HOURS).toISOString().slice(0, 19)}Z`,
      targets,
    },
    offlineSigners(set.root, store),
  );
  await publishWithin(deps, tx, { repository: "image", bytes }, now);
}

async function imageTargets(tx: Tx): Promise<Record<string, TargetFile>> {
  const images = await listImages(tx, "all");
  const named = images.flatMap((image) => imageTarget(image) ?? []);
  return Object.fromEntries(named.map(({ path, file }) => [path, file]));
}

function isSettled(
  { targets }: ImageSet,
  wanted: Record<string, TargetFile>,
  { config }: TrustDeps,
  now: Date,
): boolean {
  return (
    targets !== undefined &&
    !isDue(new Date(targets.signed.expires), TARGETS_HOURS, config, now) &&
    canonicalJson(targets.signed.targets).equals(canonicalJson(wanted))
  );
}

function offlineSigners(root: Metadata<"root">, store: KeyStore): Signer[] {
  return root.signed.roles.targets.keyids.flatMap((id) => {
    const key = root.keys.get(id);
    if (key === undefined) return [];
    const publicKey = createPublicKey({ key: key.publicKey.der, format: "der", type: "spki" });
    return store.signer(publicKey) ?? [];
  });
}
