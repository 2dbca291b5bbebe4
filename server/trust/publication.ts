import { ProblemError } from "#protocol/api/problem.ts";
import { parseMetadata, type Metadata } from "#protocol/uptane/metadata.ts";
import { fileName, refresh } from "#protocol/uptane/refresh.ts";
import { parseAnyMetadata } from "#protocol/uptane/sign.ts";
import { checkFresh, trustRoot } from "#protocol/uptane/trusted.ts";
import { updateRoot, updateTargetsAlone, verifyDelegated } from "#protocol/uptane/update.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import type { Tx } from "#server/database/connection.ts";
import {
  delegationsOf,
  issueListing,
  missingRoles,
  readImageSet,
  trustedFrom,
  type ImageSet,
} from "./image.ts";
import { markPublished } from "./published-images.ts";
import {
  goLive,
  insertFile,
  liveFile,
  liveRoots,
  lockRepository,
  newestFiles,
  rootBefore,
} from "./queries.ts";
import { answerFrom } from "./client.ts";
import { ONLINE_ROLES, type TrustDeps } from "./trust.ts";

/** What has become of a file that was handed in. */
export interface Publication {
  repository: RepositoryName;
  role: string;
  version: number;
  /** Served from now on. */
  live: boolean;
  /** Not what was served before. */
  changed: boolean;
  /** Roles that must come as well before it is served. */
  waiting_for: string[];
}

/** A file that was signed offline. */
export interface Submission {
  repository: RepositoryName;
  /** Of delegated targets; they don't say it themselves. */
  role?: string | undefined;
  bytes: Buffer;
}

/**
 * Takes a root, targets or delegated targets into a repository. The file is verified as a client
 * does it, and is served as soon as a client finds everything that it then needs: targets that are
 * signed by the root's keys, and whatever they delegate to. Until then what was there is served.
 * @throws UptaneError why a client would refuse it; ProblemError TRUST_ROLE_ONLINE,
 *   TRUST_KEY_MISSING
 */
export async function publishMetadata(
  deps: TrustDeps,
  submission: Submission,
  now: Date,
): Promise<Publication> {
  const publication = await deps.db
    .transaction()
    .execute((tx) => publishWithin(deps, tx, submission, now));
  if (publication.live) await deps.imagesSettled?.();
  return publication;
}

/** As {@link publishMetadata}, in a transaction of the caller's. */
export async function publishWithin(
  deps: TrustDeps,
  tx: Tx,
  { repository, role, bytes }: Submission,
  now: Date,
): Promise<Publication> {
  await lockRepository(tx, repository);
  const type = parseAnyMetadata(bytes).role;
  if (type === "root") return publishRoot(deps, tx, { repository, bytes }, now);
  if (type !== "targets" || repository === "director") {
    throw new ProblemError("TRUST_ROLE_ONLINE", `${repository} ${type}`);
  }
  return publishTargets(deps, tx, { role: role ?? "targets", bytes }, now);
}

async function publishRoot(
  deps: TrustDeps,
  tx: Tx,
  { repository, bytes }: Submission,
  now: Date,
): Promise<Publication> {
  const { version } = parseMetadata("root", bytes).signed;
  const known = await liveFile(tx, repository, "root");
  if (known === undefined) throw new TypeError(`the ${repository} has no root`);
  const live = parseMetadata("root", known);
  const answer = { repository, role: "root", version };
  if (live.bytes.equals(bytes)) return { ...answer, ...LIVE, changed: false };
  // One that takes the place of a root that waits is the successor of the same root.
  const isAhead = version > live.signed.version;
  const before = (isAhead ? await rootBefore(tx, repository, version) : undefined) ?? known;
  const { root } = updateRoot(trustRoot(before, {}), bytes, {});
  checkFresh(root, "root", now);
  for (const role of ONLINE_ROLES[repository]) await deps.keys.signersFor(root, role);
  await insertFile(tx, repository, "root", root, repository === "director");
  if (repository === "director") return { ...answer, ...LIVE, changed: true };
  return { ...answer, ...(await settle(deps, tx, live, now)), changed: true };
}

async function publishTargets(
  deps: TrustDeps,
  tx: Tx,
  { role, bytes }: { role: string; bytes: Buffer },
  now: Date,
): Promise<Publication> {
  const set = await readImageSet(tx, "all");
  const live = await readImageSet(tx, "live");
  if (set === undefined || live === undefined) throw new TypeError("there is no root");
  const known = role === "targets" ? live.targets : live.delegated.get(role);
  const metadata = verifyTargets(set, known, { role, bytes }, now);
  const answer = { repository: "image" as const, role, version: metadata.signed.version };
  if (known?.bytes.equals(bytes) === true) return { ...answer, ...LIVE, changed: false };
  await insertFile(tx, "image", role, metadata, false);
  return { ...answer, ...(await settle(deps, tx, live.root, now)), changed: true };
}

const LIVE = { live: true, waiting_for: [] };

/** @throws UptaneError */
function verifyTargets(
  set: ImageSet,
  known: Metadata<"targets"> | undefined,
  { role, bytes }: { role: string; bytes: Buffer },
  now: Date,
): Metadata<"targets"> {
  const metadata =
    role === "targets" ? verifyTopLevel(set, bytes, now) : verifyBelow(set, { role, bytes }, now);
  const { version } = metadata.signed;
  const before = known?.signed.version ?? 0;
  if (version < before || (version === before && known?.bytes.equals(bytes) !== true)) {
    const what = `version ${version}, ${before} is published`;
    throw new UptaneError("UPTANE_TARGETS_ROLLBACK", role, what);
  }
  return metadata;
}

function verifyTopLevel(set: ImageSet, bytes: Buffer, now: Date): Metadata<"targets"> {
  const { targets } = updateTargetsAlone({ ...trustedFrom(set), targets: undefined }, bytes, {
    now,
  });
  if (targets === undefined) throw new TypeError("updated targets are there");
  return targets;
}

/** A file name is a path of the route; longer ones no router takes. */
const MAX_FILE_NAME = 200;

function verifyBelow(
  set: ImageSet,
  { role, bytes }: { role: string; bytes: Buffer },
  now: Date,
): Metadata<"targets"> {
  const metadata = parseMetadata("targets", bytes, role);
  const delegations = delegationsOf(set).filter((each) => each.role.name === role);
  if (delegations.length === 0 || fileName(role).length > MAX_FILE_NAME) {
    throw new UptaneError("UPTANE_TARGETS_UNLISTED", role, "nobody delegates to it");
  }
  for (const delegation of delegations) {
    verifyDelegated(trustedFrom(set), delegation, metadata, { now });
  }
  checkFresh(metadata, role, now);
  return metadata;
}

/**
 * Serves what waits as soon as nothing is missing, and proves it by a client's own workflow, from
 * the root that was served until now.
 */
async function settle(
  deps: TrustDeps,
  tx: Tx,
  from: Metadata<"root">,
  now: Date,
): Promise<Pick<Publication, "live" | "waiting_for">> {
  const set = await readImageSet(tx, "all");
  if (set === undefined) throw new TypeError("there is no root");
  const waiting_for = missingRoles(set, now);
  if (waiting_for.length > 0) return { live: false, waiting_for: waiting_for.slice(0, 100) };
  await goLive(tx, "image");
  await issueListing(deps, tx, now);
  const files = await newestFiles(tx, "image", "live");
  answerFrom(refresh(trustRoot(from.bytes, {}), { now }), {
    roots: await liveRoots(tx, "image"),
    file: (role) => files.get(role)?.bytes,
  });
  await markPublished(tx, set);
  return LIVE;
}
