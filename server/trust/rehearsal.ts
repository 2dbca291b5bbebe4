import { buildSnapshot, buildTargets, buildTimestamp } from "#protocol/uptane/build.ts";
import { parseMetadata, type Metadata } from "#protocol/uptane/metadata.ts";
import { refresh } from "#protocol/uptane/refresh.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import { trustRoot } from "#protocol/uptane/trusted.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { answerFrom, type Served } from "./client.ts";
import { readImageSet, signListing, versions } from "./image.ts";
import { liveRoots, newestFiles, vehiclesByRoot } from "./queries.ts";
import { inHours, nextVersion, type TrustDeps } from "./trust.ts";

/** What a proposed root would do to the vehicles that trust one root. */
export interface RehearsalOutcome {
  /** Null: vehicles that have never asked for metadata. */
  root_version: number | null;
  vehicles: number;
  outcome: "goes_on" | "stranded" | "unknown";
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
  const files = await (repository === "image"
    ? imageFiles(deps, proposed, now)
    : directorFiles(deps, proposed, now));
  const served: Served = {
    roots: [...roots, { version, bytes }],
    file: (role) => files.get(role),
  };
  return (await vehiclesByRoot(deps.db, repository)).map(({ root_version, vehicles }) => {
    const held = roots.find((root) => root.version === root_version);
    if (held === undefined) return { root_version, vehicles, outcome: "unknown" };
    return { root_version, vehicles, ...outcomeOf(held.bytes, served, now) };
  });
}

function outcomeOf(
  held: Uint8Array,
  served: Served,
  now: Date,
): Pick<RehearsalOutcome, "outcome" | "code" | "detail"> {
  try {
    answerFrom(refresh(trustRoot(held, {}), { now }), served);
    return { outcome: "goes_on" };
  } catch (error) {
    if (!(error instanceof UptaneError)) throw error;
    return { outcome: "stranded", code: error.code, detail: error.message };
  }
}

type Files = ReadonlyMap<string, Uint8Array>;

/** What the gateway would issue under the root, with as many of its keys as there are. */
async function imageFiles(
  { db, keys, config }: TrustDeps,
  root: Metadata<"root">,
  now: Date,
): Promise<Files> {
  const set = await readImageSet(db, "all");
  if (set?.targets === undefined) return new Map();
  const before = versions(await newestFiles(db, "image", "live"));
  const signers = {
    snapshot: await keys.held(root, "snapshot"),
    timestamp: await keys.held(root, "timestamp"),
  };
  const { snapshot, timestamp } = await signListing(set, before, signers, { config, now });
  return new Map([
    ["targets", set.targets.bytes],
    ["snapshot", snapshot],
    ["timestamp", timestamp],
  ]);
}

async function directorFiles(
  { keys, config }: TrustDeps,
  root: Metadata<"root">,
  now: Date,
): Promise<Files> {
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
  return new Map([
    ["targets", targets],
    ["snapshot", snapshot],
    ["timestamp", timestamp],
  ]);
}
