import { buildSnapshot, buildTargets, buildTimestamp } from "#protocol/uptane/build.ts";
import { parseMetadata, type Metadata } from "#protocol/uptane/metadata.ts";
import { refresh } from "#protocol/uptane/refresh.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import { trustRoot } from "#protocol/uptane/trusted.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { answerFrom, type Served } from "./client.ts";
import { missingRoles, readImageSet, signListing, versions } from "./image.ts";
import { liveRoots, newestFiles, vehiclesByRoot } from "./queries.ts";
import { inHours, nextVersion, type TrustDeps } from "./trust.ts";

/** What a proposed root would do to the vehicles that trust one root. */
export interface RehearsalOutcome {
  /** Null: vehicles that have never asked for metadata. */
  root_version: number | null;
  vehicles: number;
  outcome: "goes_on" | "waits" | "stranded" | "unknown";
  /** Roles that must come as well before the root is served, and they go on. */
  waiting_for?: string[];
  /** Why they would be stranded. */
  code?: string;
  detail?: string;
}

/**
 * What publishing a root would do: for each root that vehicles are known to trust, however long they
 * have been parked, the client's workflow on the repository as it would be then. Nothing is stored.
 * @throws UptaneError for bytes that are no root, UPTANE_ROOT_ROLLBACK, UPTANE_ROOT_SKIPPED
 */
export async function rehearse(
  deps: TrustDeps,
  repository: RepositoryName,
  bytes: Buffer,
  now: Date,
): Promise<RehearsalOutcome[]> {
  const proposed = parseMetadata("root", bytes);
  const roots = await liveRoots(deps.db, repository);
  const { version } = proposed.signed;
  const newest = roots.at(-1)?.version ?? 0;
  if (version !== newest + 1) {
    // Vehicles would never come to it.
    const code = version <= newest ? "UPTANE_ROOT_ROLLBACK" : "UPTANE_ROOT_SKIPPED";
    throw new UptaneError(code, "root", `version ${version}, ${newest} is published`);
  }
  const { files, waiting_for } = await (repository === "image"
    ? imageFiles(deps, proposed, now)
    : directorFiles(deps, proposed, now));
  const served: Served = {
    roots: [...roots, { version, bytes }],
    file: (role) => files.get(role),
  };
  return (await vehiclesByRoot(deps.db, repository)).map(({ root_version, vehicles }) => {
    const held = roots.find((root) => root.version === root_version);
    if (held === undefined) return { root_version, vehicles, outcome: "unknown" };
    return { root_version, vehicles, ...outcomeOf(held.bytes, served, waiting_for, now) };
  });
}

function outcomeOf(
  held: Uint8Array,
  served: Served,
  waiting_for: string[],
  now: Date,
): Omit<RehearsalOutcome, "root_version" | "vehicles"> {
  const isWaiting = waiting_for.length > 0;
  try {
    answerFrom(refresh(trustRoot(held, {}), { now }), served);
  } catch (error) {
    if (!(error instanceof UptaneError)) throw error;
    // They came as far as there are files: what is missing is not served before it is there.
    const isAhead = isWaiting && error.code === "UPTANE_METADATA_MISSING";
    if (!isAhead) return { outcome: "stranded", code: error.code, detail: error.message };
  }
  return isWaiting ? { outcome: "waits", waiting_for } : { outcome: "goes_on" };
}

/** A repository as it would be under the root. */
interface Rehearsed {
  /** By role; what is waited for is not among them. */
  files: ReadonlyMap<string, Uint8Array>;
  waiting_for: string[];
}

/** What the gateway would issue under the root, with as many of its keys as there are. */
async function imageFiles(
  { db, keys, config }: TrustDeps,
  root: Metadata<"root">,
  now: Date,
): Promise<Rehearsed> {
  const known = await readImageSet(db, "all");
  if (known === undefined) throw new TypeError("there is no root");
  const set = { ...known, root };
  const waiting_for = missingRoles(set, now).slice(0, 100);
  if (set.targets === undefined) return { files: new Map(), waiting_for };
  const before = versions(await newestFiles(db, "image", "live"));
  const signers = {
    snapshot: await keys.held(root, "snapshot"),
    timestamp: await keys.held(root, "timestamp"),
  };
  const { snapshot, timestamp } = await signListing(set, before, signers, { config, now });
  const files = new Map([
    ["targets", set.targets.bytes],
    ["snapshot", snapshot],
    ["timestamp", timestamp],
  ]);
  for (const role of waiting_for) files.delete(role);
  return { files, waiting_for };
}

async function directorFiles(
  { keys, config }: TrustDeps,
  root: Metadata<"root">,
  now: Date,
): Promise<Rehearsed> {
  const next = {
    version: nextVersion(undefined, now),
    expires: inHours(now, config.director_h),
  };
  const { version } = next;
  const sign = async (role: "targets" | "snapshot" | "timestamp", signed: object) =>
    signMetadata(signed, await keys.held(root, role));
  const targets = await sign("targets", buildTargets(next, { targets: {} }));
  const snapshot = await sign(
    "snapshot",
    buildSnapshot(next, { targets: { version, bytes: targets } }),
  );
  const timestamp = await sign("timestamp", buildTimestamp(next, { version, bytes: snapshot }));
  const files = new Map([
    ["targets", targets],
    ["snapshot", snapshot],
    ["timestamp", timestamp],
  ]);
  return { files, waiting_for: [] };
}
