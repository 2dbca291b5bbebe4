import { createPublicKey } from "node:crypto";
import { HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { openKeyStore, type KeyStore } from "#crypto/key-store.ts";
import type { Signer } from "#crypto/signing-keys.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { buildRoot, type RoleKeys } from "#protocol/uptane/build.ts";
import { canonicalJson } from "#protocol/uptane/canonical-json.ts";
import { keyRecord } from "#protocol/uptane/key.ts";
import {
  MAX_METADATA_BYTES,
  type Metadata,
  type TargetFile,
  type TopLevelRole,
} from "#protocol/uptane/metadata.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { createBatcher } from "#server/database/batch.ts";
import type { Tx } from "#server/database/connection.ts";
import { countAwaiting, listImages } from "#server/firmware/queries.ts";
import { readImageSet, type ImageSet } from "./image.ts";
import { imageTarget } from "./image-target.ts";
import { publishWithin } from "./publication.ts";
import { markPublished } from "./published-images.ts";
import { liveExpiries, liveSize, lockRepository } from "./queries.ts";
import { inHours, isDue, nextVersion, ONLINE_ROLES, type TrustDeps } from "./trust.ts";

const ROOT_HOURS = 10 * 365 * 24;
const TARGETS_HOURS = 365 * 24;
/** One file names all images, some 13,000 at most: from this size on that is warned of. */
const MANY_BYTES = 0.75 * MAX_METADATA_BYTES.targets;
/** From this size on no image is taken: there is room for uploads that end at once. */
const FULL_BYTES = MAX_METADATA_BYTES.targets - 256 * 1024;
/** So much is for images; the rest is for signatures, and for what is changed of images later. */
const IMAGES_BYTES = MAX_METADATA_BYTES.targets - 128 * 1024;

/** What is done offline in production: here the gateway holds those keys too. */
export interface OfflineRoles {
  /** The bytes of a first root, with keys that are made for it. */
  makeRoot(repository: RepositoryName): Promise<Buffer>;
  /** Signs image targets that name every image, if there are none that do. */
  signTargets(now: Date): Promise<void>;
  /** @throws ProblemError TRUST_TARGETS_FULL when the targets have no room for another image */
  demandRoom(): Promise<void>;
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
    async demandRoom() {
      const size = await liveSize(deps.db, "image", "targets");
      if (size <= FULL_BYTES) return;
      const what = `${size} of ${MAX_METADATA_BYTES.targets} bytes are taken`;
      throw new ProblemError("TRUST_TARGETS_FULL", what);
    },
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
  const targets = withNew(deps, set.targets?.signed.targets ?? {}, await imageTargets(tx));
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
  if (bytes.length > MANY_BYTES && (set.targets?.bytes.length ?? 0) <= MANY_BYTES) {
    const share = `${bytes.length} of ${MAX_METADATA_BYTES.targets} bytes`;
    deps.log.warn(`Image targets have ${share}; uploads are refused when they are full`);
  }
}

/** What is named already, as it is described now, and as many other images as there is room for. */
function withNew(
  { log }: TrustDeps,
  named: Record<string, TargetFile>,
  images: Record<string, TargetFile>,
): Record<string, TargetFile> {
  const targets = { ...named };
  let size = JSON.stringify(named).length;
  let left = 0;
  for (const [path, file] of Object.entries(images)) {
    const added = Object.hasOwn(named, path) ? 0 : JSON.stringify({ [path]: file }).length;
    if (added > 0 && size + added > IMAGES_BYTES) {
      left++;
      continue;
    }
    size += added;
    targets[path] = file;
  }
  if (left > 0) {
    log.error({ code: "TRUST_TARGETS_FULL", images: left }, "Image targets are full; images wait");
  }
  return targets;
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
