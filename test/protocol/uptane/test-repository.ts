import { createHash } from "node:crypto";
import { canonicalJson } from "#protocol/uptane/canonical-json.ts";
import type { TargetFile } from "#protocol/uptane/metadata.ts";
import { fileName } from "#protocol/uptane/refresh.ts";
import { testKey, type SchemeName, type TestKey } from "./test-key.ts";

/** When the tests happen, and when metadata ends unless they say otherwise. */
export const NOW = new Date("2026-11-20T12:00:00Z");
const EXPIRES = "2026-12-20T12:00:00Z";

const HYBRID: readonly SchemeName[] = ["ecdsa-sha2-nistp256", "ml-dsa-65/1"];

interface Common {
  _type: string;
  spec_version: string;
  version: number;
  expires: string;
  [extra: string]: unknown;
}
interface Role {
  keyids: string[];
  threshold: number;
}
interface Meta {
  version: number;
  length?: number;
  hashes?: Record<string, string>;
}
interface Root extends Common {
  consistent_snapshot: boolean;
  keys: Record<string, unknown>;
  roles: Record<"root" | "timestamp" | "snapshot" | "targets", Role>;
}
export interface Targets extends Common {
  targets: Record<string, TargetFile>;
  delegations?: {
    keys: Record<string, unknown>;
    roles: (Role & { name: string; terminating: boolean; [extra: string]: unknown })[];
  };
}
type TopLevel = keyof Root["roles"];

/** A repository whose metadata the tests change as they like before it is signed. */
export interface TestRepository {
  root: Root;
  timestamp: Common & { meta: Record<string, Meta> };
  snapshot: Common & { meta: Record<string, Meta> };
  targets: Targets;
  delegated: Map<string, Targets>;
  /** Who signs a role; for root the keys it had before too, as long as they are here. */
  signers: Map<string, TestKey[]>;
  /** What is served, by file name. */
  files: Map<string, Buffer>;
  /** Signs roles as they are, without another version. */
  sign: (...roles: string[]) => void;
  /** Signs roles under their next version; what lists them has to follow by itself. */
  publish: (...roles: string[]) => void;
  /** Publishes targets and all that lists them. */
  publishAll: () => void;
  addTarget: (
    path: string,
    content: Buffer,
    custom?: Record<string, unknown>,
    role?: string,
  ) => void;
  delegate: (from: string, name: string, rule?: Record<string, unknown>) => void;
  /** Gives a role new keys and publishes the root, signed by the old root keys too. */
  rotate: (role: TopLevel) => TestKey[];
}

export interface RepositoryOptions {
  schemes?: readonly SchemeName[];
  /** Whether snapshot and timestamp list lengths and hashes. */
  withHashes?: boolean;
  consistent?: boolean;
}

const TOP_LEVEL = ["root", "timestamp", "snapshot", "targets"] as const;
const common = (type: string) => ({
  _type: type,
  spec_version: "1.0.31",
  version: 1,
  expires: EXPIRES,
});

export function testRepository(options: RepositoryOptions = {}): TestRepository {
  const schemes = options.schemes ?? HYBRID;
  const newKeys = () => schemes.map(testKey);
  const keys = Object.fromEntries(TOP_LEVEL.map((role) => [role, newKeys()]));
  const { root, signers } = newRoot(keys, options.consistent ?? true);
  const repository: TestRepository = {
    root,
    timestamp: { ...common("timestamp"), meta: { "snapshot.json": { version: 1 } } },
    snapshot: { ...common("snapshot"), meta: { "targets.json": { version: 1 } } },
    targets: { ...common("targets"), targets: {} },
    delegated: new Map(),
    signers,
    files: new Map(),
    sign: (...roles) => {
      for (const role of roles) signRole(repository, role, options);
    },
    publish: (...roles) => {
      for (const role of roles) {
        signedOf(repository, role).version++;
        repository.sign(role);
      }
    },
    publishAll: () => {
      repository.publish(...repository.delegated.keys(), "targets");
      list(repository, options);
      repository.publish("snapshot");
      list(repository, options);
      repository.publish("timestamp");
    },
    addTarget: (path, content, custom, role = "targets") => {
      const targets = role === "targets" ? repository.targets : repository.delegated.get(role);
      if (targets === undefined) throw new Error(`no role ${role}`);
      targets.targets[path] = { ...described(content), ...(custom && { custom }) };
    },
    delegate: (from, name, rule = {}) =>
      delegate(repository, { from, name, rule, keys: newKeys() }),
    rotate: (role) => {
      const added = newKeys();
      rotate(repository, role, added);
      return added;
    },
  };
  repository.sign("root", "targets");
  list(repository, options);
  repository.sign("snapshot");
  list(repository, options);
  repository.sign("timestamp");
  return repository;
}

function newRoot(
  keys: Record<string, TestKey[]>,
  consistent: boolean,
): Pick<TestRepository, "root" | "signers"> {
  const role = (name: string): Role => ({
    keyids: (keys[name] ?? []).map(({ id }) => id),
    threshold: 1,
  });
  const root = {
    ...common("root"),
    consistent_snapshot: consistent,
    keys: recordsOf(Object.values(keys).flat()),
    roles: {
      root: role("root"),
      timestamp: role("timestamp"),
      snapshot: role("snapshot"),
      targets: role("targets"),
    },
  };
  return { root, signers: new Map(Object.entries(keys)) };
}

function recordsOf(keys: readonly TestKey[]): Record<string, unknown> {
  return Object.fromEntries(keys.map(({ id, record }) => [id, record]));
}

function rotate(repository: TestRepository, role: TopLevel, added: TestKey[]): void {
  const { root, signers } = repository;
  const before = signers.get(role) ?? [];
  root.roles[role].keyids = added.map(({ id }) => id);
  Object.assign(root.keys, recordsOf(added));
  signers.set(role, role === "root" ? [...before, ...added] : added);
  repository.publish("root");
  if (role === "root") signers.set(role, added);
}

function delegate(
  { targets, delegated, signers }: TestRepository,
  { from, name, rule, keys }: { from: string; name: string; rule: object; keys: TestKey[] },
): void {
  const delegator = from === "targets" ? targets : delegated.get(from);
  if (delegator === undefined) throw new Error(`no role ${from}`);
  delegator.delegations ??= { keys: {}, roles: [] };
  const known = signers.get(name) ?? keys;
  Object.assign(delegator.delegations.keys, recordsOf(known));
  const keyids = known.map(({ id }) => id);
  const role = { name, keyids, threshold: 1, terminating: false, ...rule };
  delegator.delegations.roles.push("path_hash_prefixes" in rule ? role : { paths: ["*"], ...role });
  signers.set(name, known);
  if (!delegated.has(name)) delegated.set(name, { ...common("targets"), version: 0, targets: {} });
}

function signedOf(repository: TestRepository, role: string): Common {
  const own = repository.delegated.get(role);
  if (own !== undefined) return own;
  if (role === "root") return repository.root;
  if (role === "timestamp") return repository.timestamp;
  return role === "snapshot" ? repository.snapshot : repository.targets;
}

function signRole(repository: TestRepository, role: string, options: RepositoryOptions): void {
  const signed = signedOf(repository, role);
  const bytes = signMetadata(signed, repository.signers.get(role) ?? []);
  const isVersioned = role === "root" || (role !== "timestamp" && options.consistent !== false);
  const name = `${isVersioned ? `${signed.version}.` : ""}${fileName(role)}.json`;
  repository.files.set(name, bytes);
}

/** The bytes of a metadata file; indented, for the file itself need not be canonical. */
export function signMetadata(signed: unknown, keys: readonly TestKey[]): Buffer {
  const canonical = canonicalJson(signed);
  const signatures = keys.map(({ id, sign }) => ({ keyid: id, sig: sign(canonical) }));
  return Buffer.from(JSON.stringify({ signatures, signed }, null, 1));
}

/** Writes down what there is now in what lists it. */
function list(repository: TestRepository, options: RepositoryOptions): void {
  const { snapshot, timestamp, targets, delegated } = repository;
  const meta = (role: string, { version }: Common): Meta => {
    const prefix = options.consistent === false ? "" : `${version}.`;
    const bytes = repository.files.get(`${prefix}${fileName(role)}.json`);
    return options.withHashes === true && bytes ? { version, ...described(bytes) } : { version };
  };
  snapshot.meta["targets.json"] = meta("targets", targets);
  for (const [role, signed] of delegated) snapshot.meta[`${role}.json`] = meta(role, signed);
  timestamp.meta["snapshot.json"] = meta("snapshot", snapshot);
}

function described(content: Buffer): { length: number; hashes: Record<string, string> } {
  const digest = (name: string) => createHash(name).update(content).digest("hex");
  return { length: content.length, hashes: { sha256: digest("sha256"), sha512: digest("sha512") } };
}
