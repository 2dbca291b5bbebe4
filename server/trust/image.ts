import type { ServerConfig } from "#config/server.ts";
import { buildSnapshot, buildTimestamp } from "#protocol/uptane/build.ts";
import { parseMetadata, type Metadata } from "#protocol/uptane/metadata.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import { checkFresh, verifyBy, type TrustedRepository } from "#protocol/uptane/trusted.ts";
import { verifyDelegated, type Delegation } from "#protocol/uptane/update.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import type { Signer } from "#crypto/signing-keys.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { insertFile, newestFiles, trimFiles, type StoredFile } from "./queries.ts";
import { inHours, nextVersion, type TrustDeps } from "./trust.ts";

/** What is signed offline of the image repository: its newest root and targets. */
export interface ImageSet {
  root: Metadata<"root">;
  targets: Metadata<"targets"> | undefined;
  delegated: ReadonlyMap<string, Metadata<"targets">>;
}

/** Reads the newest of each; `all` takes what waits for the rest too. @returns undefined without a root */
export async function readImageSet(db: Db, which: "live" | "all"): Promise<ImageSet | undefined> {
  const files = await newestFiles(db, "image", which);
  const root = files.get("root");
  const targets = files.get("targets");
  if (root === undefined) return undefined;
  const delegated = [...files.values()]
    .filter(({ role }) => !["root", "targets", "snapshot", "timestamp"].includes(role))
    .map(({ role, bytes }) => [role, parseMetadata("targets", bytes, role)] as const);
  return {
    root: parseMetadata("root", root.bytes),
    targets: targets && parseMetadata("targets", targets.bytes),
    delegated: new Map(delegated),
  };
}

/** Who delegates to whom, from the top-level targets on, each role once for each that names it. */
export function delegationsOf({ targets, delegated }: ImageSet): Delegation[] {
  const found: Delegation[] = [];
  const open = targets === undefined ? [] : [targets];
  const seen = new Set<string>();
  for (let delegator = open.pop(); delegator !== undefined; delegator = open.pop()) {
    for (const role of delegator.signed.delegations?.roles ?? []) {
      found.push({ delegator, role });
      const next = delegated.get(role.name);
      if (next !== undefined && !seen.has(role.name)) open.push(next);
      seen.add(role.name);
    }
  }
  return found;
}

/** Roles without which a client could not find its way through: not there, not signed, expired. */
export function missingRoles(set: ImageSet, now: Date): string[] {
  const { targets } = set;
  if (targets === undefined) return ["targets"];
  const holds = (check: () => void) => {
    try {
      check();
      return true;
    } catch (error) {
      if (error instanceof UptaneError) return false;
      throw error;
    }
  };
  const missing = holds(() => {
    verifyBy(set.root, "targets", targets, {}, new Set());
    checkFresh(targets, "targets", now);
  })
    ? []
    : ["targets"];
  const trusted = trustedFrom(set);
  for (const delegation of delegationsOf(set)) {
    const { name } = delegation.role;
    const metadata = set.delegated.get(name);
    const isFine =
      metadata !== undefined &&
      holds(() => {
        verifyDelegated(trusted, delegation, metadata, { now });
        checkFresh(metadata, name, now);
      });
    if (!isFine) missing.push(name);
  }
  return [...new Set(missing)];
}

/** What a client that trusts the set's root, without a question, has of it. */
export function trustedFrom({ root, targets, delegated }: ImageSet): TrustedRepository {
  const listing = { timestamp: undefined, snapshot: undefined };
  return { root, ...listing, targets, delegated, revokedKeyIds: new Set() };
}

/** The two files that say what is current. */
export interface Listing {
  snapshot: Buffer;
  timestamp: Buffer;
}

/** Signs a snapshot and a timestamp of a set; `before` are the versions that they follow. */
export async function signListing(
  { targets, delegated }: ImageSet,
  before: { snapshot?: number | undefined; timestamp?: number | undefined },
  signers: { snapshot: readonly Signer[]; timestamp: readonly Signer[] },
  { config, now }: { config: ServerConfig["trust"]; now: Date },
): Promise<Listing> {
  if (targets === undefined) throw new TypeError("there are no targets to list");
  const listed = ({ signed, bytes }: Metadata<"targets">) => ({ version: signed.version, bytes });
  const files = Object.fromEntries([...delegated].map(([role, file]) => [role, listed(file)]));
  const version = nextVersion(before.snapshot, now);
  const snapshot = await signMetadata(
    buildSnapshot(
      { version, expires: inHours(now, config.snapshot_h) },
      { ...files, targets: listed(targets) },
    ),
    signers.snapshot,
  );
  const timestamp = await signMetadata(
    buildTimestamp(
      {
        version: nextVersion(before.timestamp, now),
        expires: inHours(now, config.timestamp_h),
      },
      { version, bytes: snapshot },
    ),
    signers.timestamp,
  );
  return { snapshot, timestamp };
}

/** Superseded versions stay for clients that are in the middle of a refresh. */
const KEPT_VERSIONS = 32;

/**
 * Issues snapshot and timestamp for what is live. For whoever holds the repository's lock.
 * @throws ProblemError TRUST_KEY_MISSING
 */
export async function issueListing(deps: TrustDeps, tx: Tx, now: Date): Promise<void> {
  const [set, files] = [await readImageSet(tx, "live"), await newestFiles(tx, "image", "live")];
  if (set?.targets === undefined) return;
  const signers = {
    snapshot: await deps.keys.signersFor(set.root, "snapshot"),
    timestamp: await deps.keys.signersFor(set.root, "timestamp"),
  };
  const { snapshot, timestamp } = await signListing(set, versions(files), signers, {
    ...deps,
    now,
  });
  await insertFile(tx, "image", "snapshot", parseMetadata("snapshot", snapshot), true);
  await insertFile(tx, "image", "timestamp", parseMetadata("timestamp", timestamp), true);
  await trimFiles(tx, "image", KEPT_VERSIONS);
}

export function versions(files: ReadonlyMap<string, StoredFile>) {
  return { snapshot: files.get("snapshot")?.version, timestamp: files.get("timestamp")?.version };
}
