import { createHash } from "node:crypto";
import { keyId, type UptaneKey } from "./key.ts";
import type { DelegatedRole, TargetFile, TopLevelRole } from "./metadata.ts";

/** Followed by all metadata that we write. */
const SPEC_VERSION = "1.0.31";

/**
 * Signatures that a role needs, of each family: one ECDSA and one ML-DSA key sign every role, and
 * our verifiers ask each family for the threshold (`threshold.ts`).
 */
export const HYBRID_THRESHOLD = 1;

/** What every file says of itself. */
export interface Issue {
  version: number;
  /** Cut to seconds. */
  expires: Date;
}

/** Who may sign a role. */
export interface RoleKeys {
  keys: readonly UptaneKey[];
  /** Of each family. Default: {@link HYBRID_THRESHOLD}. */
  threshold?: number;
}

/** The `signed` part of a root (TUF 1.0 §4.3), with consistent snapshots. */
export function buildRoot(issue: Issue, roles: Readonly<Record<TopLevelRole, RoleKeys>>) {
  const { root, timestamp, snapshot, targets } = roles;
  return {
    ...common("root", issue),
    consistent_snapshot: true,
    keys: keyTable([root, timestamp, snapshot, targets].flatMap(({ keys }) => keys)),
    roles: {
      root: roleRule(root),
      timestamp: roleRule(timestamp),
      snapshot: roleRule(snapshot),
      targets: roleRule(targets),
    },
  };
}

/** A role that others' images are left to, and its keys. */
export type DelegatedTo = Omit<DelegatedRole, "keyids" | "threshold"> & RoleKeys;

export interface TargetsContent {
  targets: Readonly<Record<string, TargetFile>>;
  /** In the order in which they are asked. */
  delegations?: readonly DelegatedTo[];
  /** Director only: `{ vin, nonce }`. */
  custom?: Readonly<Record<string, unknown>>;
}

/** The `signed` part of targets (TUF 1.0 §4.5), also of delegated ones. */
export function buildTargets(issue: Issue, { targets, delegations, custom }: TargetsContent) {
  return {
    ...common("targets", issue),
    targets,
    ...(delegations && {
      delegations: {
        keys: keyTable(delegations.flatMap(({ keys }) => keys)),
        roles: delegations.map(({ keys, threshold, ...role }) => ({
          ...role,
          ...roleRule({ keys, ...(threshold !== undefined && { threshold }) }),
        })),
      },
    }),
    ...(custom && { custom }),
  };
}

/** A file that other metadata lists: its version and all its bytes. */
export interface ListedFile {
  version: number;
  bytes: Uint8Array;
}

/**
 * The `signed` part of a snapshot (TUF 1.0 §4.4).
 * @param files by role: `targets` and every delegated role
 */
export function buildSnapshot(
  issue: Issue,
  files: Readonly<Record<string, ListedFile>> & { readonly targets: ListedFile },
) {
  const meta = Object.entries(files).map(([role, file]) => [`${role}.json`, listed(file)] as const);
  return { ...common("snapshot", issue), meta: Object.fromEntries(meta) };
}

/** The `signed` part of a timestamp (TUF 1.0 §4.6). */
export function buildTimestamp(issue: Issue, snapshot: ListedFile) {
  return { ...common("timestamp", issue), meta: { "snapshot.json": listed(snapshot) } };
}

/** Length and hashes of a file, as targets and snapshots list them. */
export function describeFile(bytes: Uint8Array): {
  length: number;
  hashes: { sha256: string; sha512: string };
} {
  const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
  return { length: bytes.length, hashes: { sha256: digest("sha256"), sha512: digest("sha512") } };
}

function listed({ version, bytes }: ListedFile) {
  return { version, ...describeFile(bytes) };
}

function common(type: TopLevelRole, { version, expires }: Issue) {
  return {
    _type: type,
    spec_version: SPEC_VERSION,
    version,
    expires: `${expires.toISOString().slice(0, 19)}Z`,
  };
}

function keyTable(keys: readonly UptaneKey[]): Record<string, UptaneKey> {
  return Object.fromEntries(keys.map((key) => [keyId(key), key]));
}

function roleRule({ keys, threshold = HYBRID_THRESHOLD }: RoleKeys) {
  return { keyids: [...new Set(keys.map(keyId))], threshold };
}
