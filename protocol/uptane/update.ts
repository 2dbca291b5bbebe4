import {
  isFile,
  member,
  parseMetadata,
  type DelegatedRole,
  type Metadata,
  type MetaFile,
  type TopLevelRole,
} from "./metadata.ts";
import {
  checkFresh,
  verifyBy,
  verifyRole,
  withoutUnsigned,
  type Checks,
  type TrustedRepository,
} from "./trusted.ts";
import { UptaneError, type UptaneErrorCode } from "./uptane-error.ts";

/**
 * The next root (TUF 1.0 §5.3.4 to §5.3.7 and §5.3.11, Uptane 2.1 "How to check Root metadata").
 * Whether it has expired is asked when there is no further one. One of the version that is trusted
 * already is refused, as by every client in use: in the place of the next it hides that one.
 * @throws UptaneError UPTANE_METADATA_*, UPTANE_SIGNATURE_*, UPTANE_UNDER_SIGNED, UPTANE_KEY_REVOKED,
 *   UPTANE_ROOT_*
 */
export function updateRoot(
  trusted: TrustedRepository,
  bytes: Uint8Array,
  checks: Omit<Checks, "now">,
): TrustedRepository {
  const root = parseMetadata("root", bytes);
  verifyBy(root, "root", root, checks, trusted.revokedKeyIds);
  verifyByPrevious(trusted, root, checks);
  const { version } = trusted.root.signed;
  if (root.signed.version <= version) {
    throw new UptaneError("UPTANE_ROOT_ROLLBACK", "root", versions(root.signed.version, version));
  }
  if (root.signed.version !== version + 1) {
    throw new UptaneError("UPTANE_ROOT_SKIPPED", "root", versions(root.signed.version, version));
  }
  // §5.3.11: a repository that recovers from a fast-forward attack starts its versions anew.
  const forgets =
    losesKeys(trusted.root, root, "timestamp") || losesKeys(trusted.root, root, "snapshot");
  const next = { ...trusted, root, revokedKeyIds: revokedBy(trusted, root) };
  return withoutUnsigned(
    forgets ? { ...next, timestamp: undefined, snapshot: undefined } : next,
    checks,
  );
}

function verifyByPrevious(
  { root: previous, revokedKeyIds }: TrustedRepository,
  root: Metadata<"root">,
  checks: Omit<Checks, "now">,
): void {
  try {
    verifyBy(previous, "root", root, checks, revokedKeyIds);
  } catch (error) {
    if (!(error instanceof UptaneError)) throw error;
    const what = `the keys of version ${previous.signed.version} have not signed it: ${error.message}`;
    throw new UptaneError("UPTANE_ROOT_NOT_CROSS_SIGNED", "root", what);
  }
}

function losesKeys(before: Metadata<"root">, after: Metadata<"root">, role: TopLevelRole): boolean {
  const left = new Set(after.signed.roles[role].keyids.map((id) => keyOf(after, id)));
  return before.signed.roles[role].keyids.some((id) => !left.has(keyOf(before, id)));
}

/** A key by what it is; by its name when it can't verify here. */
function keyOf(root: Metadata<"root">, id: string): string {
  return root.keys.get(id)?.fingerprint ?? `id:${id}`;
}

function revokedBy(
  { root: before, revokedKeyIds }: TrustedRepository,
  after: Metadata<"root">,
): ReadonlySet<string> {
  const ids = ({ signed: { roles } }: Metadata<"root">) =>
    [roles.root, roles.timestamp, roles.snapshot, roles.targets].flatMap(({ keyids }) => keyids);
  return new Set([...revokedKeyIds, ...ids(before)]).difference(new Set(ids(after)));
}

/**
 * The timestamp (TUF 1.0 §5.4). One of the version that is trusted already is left unread.
 * @throws UptaneError UPTANE_METADATA_*, UPTANE_SIGNATURE_*, UPTANE_UNDER_SIGNED, UPTANE_KEY_REVOKED,
 *   UPTANE_TIMESTAMP_ROLLBACK, UPTANE_SNAPSHOT_ROLLBACK, UPTANE_EXPIRED
 */
export function updateTimestamp(
  trusted: TrustedRepository,
  bytes: Uint8Array,
  checks: Checks,
): TrustedRepository {
  const timestamp = parseMetadata("timestamp", bytes);
  verifyBy(trusted.root, "timestamp", timestamp, checks, trusted.revokedKeyIds);
  const known = trusted.timestamp;
  if (known !== undefined) {
    const { version } = known.signed;
    if (timestamp.signed.version === version) {
      checkFresh(known, "timestamp", checks.now);
      return trusted;
    }
    atLeast("UPTANE_TIMESTAMP_ROLLBACK", "timestamp", timestamp.signed.version, version);
    const before = known.signed.meta["snapshot.json"].version;
    const after = timestamp.signed.meta["snapshot.json"].version;
    atLeast("UPTANE_SNAPSHOT_ROLLBACK", "timestamp", after, before);
  }
  checkFresh(timestamp, "timestamp", checks.now);
  return { ...trusted, timestamp };
}

/**
 * The snapshot that the trusted timestamp names (TUF 1.0 §5.5).
 * @throws UptaneError UPTANE_SNAPSHOT_MISMATCH, UPTANE_METADATA_*, UPTANE_SIGNATURE_*,
 *   UPTANE_UNDER_SIGNED, UPTANE_KEY_REVOKED, UPTANE_SNAPSHOT_ROLLBACK, UPTANE_TARGETS_ROLLBACK,
 *   UPTANE_TARGETS_UNLISTED, UPTANE_EXPIRED
 */
export function updateSnapshot(
  trusted: TrustedRepository,
  bytes: Uint8Array,
  checks: Checks,
): TrustedRepository {
  const listed = listedSnapshot(trusted);
  matches("UPTANE_SNAPSHOT_MISMATCH", "snapshot", bytes, listed);
  const snapshot = parseMetadata("snapshot", bytes);
  verifyBy(trusted.root, "snapshot", snapshot, checks, trusted.revokedKeyIds);
  isVersion("UPTANE_SNAPSHOT_MISMATCH", "snapshot", snapshot, listed);
  if (trusted.snapshot !== undefined) checkSnapshotRollback(trusted.snapshot, snapshot);
  checkFresh(snapshot, "snapshot", checks.now);
  const isListed = ([role]: readonly [string, unknown]) =>
    member(snapshot.signed.meta, `${role}.json`) !== undefined;
  return { ...trusted, snapshot, delegated: new Map([...trusted.delegated].filter(isListed)) };
}

function checkSnapshotRollback(before: Metadata<"snapshot">, after: Metadata<"snapshot">): void {
  const { version } = before.signed;
  atLeast("UPTANE_SNAPSHOT_ROLLBACK", "snapshot", after.signed.version, version);
  for (const [file, known] of Object.entries(before.signed.meta)) {
    const now = member(after.signed.meta, file);
    if (now === undefined) {
      throw new UptaneError("UPTANE_TARGETS_UNLISTED", "snapshot", `${file} is no longer listed`);
    }
    atLeast("UPTANE_TARGETS_ROLLBACK", `snapshot: ${file}`, now.version, known.version);
  }
}

/**
 * The top-level targets that the trusted snapshot names (TUF 1.0 §5.6). That their version is not
 * lower than before (Uptane 2.1 "How to check Targets metadata", step 4) is the snapshot's check.
 * @throws UptaneError UPTANE_TARGETS_MISMATCH, UPTANE_METADATA_*, UPTANE_SIGNATURE_*,
 *   UPTANE_UNDER_SIGNED, UPTANE_KEY_REVOKED, UPTANE_EXPIRED
 */
export function updateTargets(
  trusted: TrustedRepository,
  bytes: Uint8Array,
  checks: Checks,
): TrustedRepository {
  const listed = listedTargets(trusted, "targets");
  matches("UPTANE_TARGETS_MISMATCH", "targets", bytes, listed);
  const targets = parseMetadata("targets", bytes);
  verifyBy(trusted.root, "targets", targets, checks, trusted.revokedKeyIds);
  isVersion("UPTANE_TARGETS_MISMATCH", "targets", targets, listed);
  checkFresh(targets, "targets", checks.now);
  return { ...trusted, targets };
}

/**
 * The targets without a snapshot, for ECUs that verify partially (Uptane 2.1 "Partial
 * verification"): the version may not be lower than the one trusted before.
 * @throws UptaneError as {@link updateTargets}, and UPTANE_TARGETS_ROLLBACK
 */
export function updateTargetsAlone(
  trusted: TrustedRepository,
  bytes: Uint8Array,
  checks: Checks,
): TrustedRepository {
  const targets = parseMetadata("targets", bytes);
  verifyBy(trusted.root, "targets", targets, checks, trusted.revokedKeyIds);
  const known = trusted.targets?.signed.version ?? 0;
  atLeast("UPTANE_TARGETS_ROLLBACK", "targets", targets.signed.version, known);
  checkFresh(targets, "targets", checks.now);
  return { ...trusted, targets };
}

/** A delegation: who delegates, and to whom. */
export interface Delegation {
  delegator: Metadata<"targets">;
  role: DelegatedRole;
}

/**
 * Delegated targets that the trusted snapshot names, signed by the keys that the delegator names.
 * @throws UptaneError as {@link updateTargets}, and UPTANE_TARGETS_UNLISTED
 */
export function updateDelegated(
  trusted: TrustedRepository,
  delegation: Delegation,
  bytes: Uint8Array,
  checks: Checks,
): { trusted: TrustedRepository; targets: Metadata<"targets"> } {
  const { name } = delegation.role;
  const listed = listedTargets(trusted, name);
  matches("UPTANE_TARGETS_MISMATCH", name, bytes, listed);
  const targets = parseMetadata("targets", bytes, name);
  verifyDelegated(trusted, delegation, targets, checks);
  isVersion("UPTANE_TARGETS_MISMATCH", name, targets, listed);
  checkFresh(targets, name, checks.now);
  const delegated = new Map([...trusted.delegated, [name, targets] as const]);
  return { trusted: { ...trusted, delegated }, targets };
}

/** @throws UptaneError UPTANE_SIGNATURE_*, UPTANE_UNDER_SIGNED, UPTANE_KEY_REVOKED */
export function verifyDelegated(
  { revokedKeyIds }: TrustedRepository,
  { delegator, role }: Delegation,
  targets: Metadata<"targets">,
  checks: Checks,
): void {
  const rule = { keys: delegator.keys, keyids: role.keyids, threshold: role.threshold };
  verifyRole({ role: "targets", roleName: role.name }, targets, rule, checks, revokedKeyIds);
}

/** What the trusted timestamp says of the snapshot. */
export function listedSnapshot({ timestamp }: TrustedRepository): MetaFile {
  if (timestamp === undefined) throw new TypeError("no timestamp is trusted yet");
  return timestamp.signed.meta["snapshot.json"];
}

/** What the trusted snapshot says of targets. @throws UptaneError UPTANE_TARGETS_UNLISTED */
export function listedTargets({ snapshot }: TrustedRepository, roleName: string): MetaFile {
  if (snapshot === undefined) throw new TypeError("no snapshot is trusted yet");
  const listed = member(snapshot.signed.meta, `${roleName}.json`);
  if (listed === undefined) {
    throw new UptaneError("UPTANE_TARGETS_UNLISTED", roleName, "the snapshot does not list it");
  }
  return listed;
}

function matches(
  code: UptaneErrorCode,
  roleName: string,
  bytes: Uint8Array,
  listed: MetaFile,
): void {
  const found = isFile(bytes, listed);
  if (!found.length) {
    throw new UptaneError(code, roleName, `${bytes.length} bytes, ${listed.length} are listed`);
  }
  if (!found.hashes) throw new UptaneError(code, roleName, "not the hash that is listed");
}

function isVersion(
  code: UptaneErrorCode,
  roleName: string,
  { signed }: Metadata<"snapshot" | "targets">,
  listed: MetaFile,
): void {
  if (signed.version !== listed.version) {
    const what = `version ${signed.version}, ${listed.version} is listed`;
    throw new UptaneError(code, roleName, what);
  }
}

function atLeast(code: UptaneErrorCode, roleName: string, version: number, known: number): void {
  if (version < known) throw new UptaneError(code, roleName, versions(version, known));
}

function versions(version: number, known: number): string {
  return `version ${version}, ${known} is trusted`;
}
