import { isFile, MAX_METADATA_BYTES, type MetaFile, type TopLevelRole } from "./metadata.ts";
import { checkFresh, type Checks, type TrustedRepository } from "./trusted.ts";
import {
  listedSnapshot,
  listedTargets,
  updateRoot,
  updateSnapshot,
  updateTargets,
  updateTimestamp,
} from "./update.ts";
import { UptaneError } from "./uptane-error.ts";

/** TUF 1.0 §5.3.3 leaves the number to us. */
const MAX_ROOT_ROTATIONS = 256;

/** A file that the workflow needs. Whoever fetches it stops after `maxBytes`. */
export interface FileRequest {
  kind: "fetch";
  /** Below the repository's metadata, `2.root.json`. */
  file: string;
  role: string;
  maxBytes: number;
}

/** A file was accepted: the time to persist it (§5.3.8, §5.4.5, §5.5.7, §5.6.6). */
export interface Accepted {
  kind: "accepted";
  role: string;
  trusted: TrustedRepository;
  /** Files to delete, for root has replaced their keys (§5.3.11). */
  forget: readonly TopLevelRole[];
}

/** The workflow as a generator: it asks for files, and is given bytes, or undefined for none. */
export type Workflow<T> = Generator<FileRequest | Accepted, T, Uint8Array | undefined>;

/**
 * Brings a repository's top-level metadata up to date (TUF 1.0 §5.3 to §5.6.6). What stopped
 * half-way goes on from what was accepted.
 * @throws UptaneError as the four updates do, UPTANE_METADATA_MISSING
 */
export function* refresh(
  trusted: TrustedRepository,
  checks: Checks & { maxRootRotations?: number },
): Workflow<TrustedRepository> {
  let now = yield* refreshRoot(trusted, checks);
  now = yield* refreshTimestamp(now, checks);
  now = yield* refreshSnapshot(now, checks);
  return yield* refreshTargets(now, checks);
}

/** §5.3: one root after the other, until there is no next one. */
function* refreshRoot(
  trusted: TrustedRepository,
  checks: Checks & { maxRootRotations?: number },
): Workflow<TrustedRepository> {
  let known = trusted;
  for (let i = 0; i < (checks.maxRootRotations ?? MAX_ROOT_ROTATIONS); i++) {
    const bytes = yield fileRequest("root", `${known.root.signed.version + 1}.root.json`);
    if (bytes === undefined) break;
    const next = updateRoot(known, bytes, checks);
    const forget = (["timestamp", "snapshot"] as const).filter(
      (role) => known[role] !== undefined && next[role] === undefined,
    );
    known = next;
    yield { kind: "accepted", role: "root", trusted: known, forget };
  }
  checkFresh(known.root, "root", checks.now);
  return known;
}

function* refreshTimestamp(
  trusted: TrustedRepository,
  checks: Checks,
): Workflow<TrustedRepository> {
  const bytes = yield fileRequest("timestamp", "timestamp.json");
  const next = updateTimestamp(trusted, present("timestamp", bytes), checks);
  if (next !== trusted) yield accepted("timestamp", next);
  return next;
}

function* refreshSnapshot(trusted: TrustedRepository, checks: Checks): Workflow<TrustedRepository> {
  const listed = listedSnapshot(trusted);
  const { snapshot } = trusted;
  if (snapshot !== undefined && isListed(snapshot, listed)) {
    checkFresh(snapshot, "snapshot", checks.now);
    return trusted;
  }
  const bytes = yield listedFile(trusted, { role: "snapshot", name: "snapshot", listed });
  const next = updateSnapshot(trusted, present("snapshot", bytes), checks);
  yield accepted("snapshot", next);
  return next;
}

function* refreshTargets(trusted: TrustedRepository, checks: Checks): Workflow<TrustedRepository> {
  const listed = listedTargets(trusted, "targets");
  const { targets } = trusted;
  if (targets !== undefined && isListed(targets, listed)) {
    checkFresh(targets, "targets", checks.now);
    return trusted;
  }
  const bytes = yield listedFile(trusted, { role: "targets", name: "targets", listed });
  const next = updateTargets(trusted, present("targets", bytes), checks);
  yield accepted("targets", next);
  return next;
}

/** Whether the file at hand is the one that is listed now. */
export function isListed(
  metadata: { bytes: Buffer; signed: { version: number } },
  listed: MetaFile,
): boolean {
  const { length, hashes } = isFile(metadata.bytes, listed);
  return metadata.signed.version === listed.version && length && hashes;
}

/** The file of a role that other metadata lists; with consistent snapshots under its version (§6.2). */
export function listedFile(
  { root }: TrustedRepository,
  { role, name, listed }: { role: TopLevelRole; name: string; listed: MetaFile },
): FileRequest {
  const version = root.signed.consistent_snapshot === true ? `${listed.version}.` : "";
  const maxBytes = Math.min(listed.length ?? Infinity, MAX_METADATA_BYTES[role]);
  return { kind: "fetch", file: `${version}${fileName(name)}.json`, role: name, maxBytes };
}

/** A role's name in a URL or a folder: whatever may mean more than itself there is escaped. */
export function fileName(roleName: string): string {
  return encodeURIComponent(roleName).replaceAll(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

export function accepted(role: string, trusted: TrustedRepository): Accepted {
  return { kind: "accepted", role, trusted, forget: [] };
}

/** @throws UptaneError UPTANE_METADATA_MISSING */
export function present(role: string, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined) {
    throw new UptaneError("UPTANE_METADATA_MISSING", role, "the repository does not have it");
  }
  return bytes;
}

function fileRequest(role: TopLevelRole, file: string): FileRequest {
  return { kind: "fetch", file, role, maxBytes: MAX_METADATA_BYTES[role] };
}
