import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import type { TrustedKeys } from "./key.ts";
import { expiry, parseMetadata, type Metadata, type TopLevelRole } from "./metadata.ts";
import type { KeyFamily } from "./scheme.ts";
import { verifyThreshold } from "./threshold.ts";
import { SIGNATURE_CODES, UptaneError } from "./uptane-error.ts";
import type { VerifySignature } from "./verify-signature.ts";

/** What a client believes of one repository. Never changed: each step gives a new one. */
export interface TrustedRepository {
  readonly root: Metadata<"root">;
  readonly timestamp: Metadata<"timestamp"> | undefined;
  readonly snapshot: Metadata<"snapshot"> | undefined;
  readonly targets: Metadata<"targets"> | undefined;
  /** Delegated targets by role name; who delegates decides anew each time whether to use one. */
  readonly delegated: ReadonlyMap<string, Metadata<"targets">>;
  /** Keys that a root took away from every role. They say why a signature is missing, no more. */
  readonly revokedKeyIds: ReadonlySet<string>;
}

/** How strictly to verify, and when. */
export interface Checks {
  /** The start of the update, fixed for all its steps (TUF 1.0 §5.1). */
  now: Date;
  /** Families that must reach each role's threshold; for all roles or by role. Default: both. */
  families?: readonly KeyFamily[] | Readonly<Record<TopLevelRole, readonly KeyFamily[]>>;
  /** Default: OpenSSL. */
  verify?: VerifySignature;
}

/** Takes the root that was shipped with the vehicle; it may have expired (TUF 1.0 §5.2). */
export function trustRoot(bytes: Uint8Array, checks: Omit<Checks, "now">): TrustedRepository {
  const root = parseMetadata("root", bytes);
  verifyBy(root, "root", root, checks, new Set());
  return {
    root,
    timestamp: undefined,
    snapshot: undefined,
    targets: undefined,
    delegated: new Map(),
    revokedKeyIds: new Set(),
  };
}

/** @throws UptaneError UPTANE_SIGNATURE_*, UPTANE_UNDER_SIGNED, UPTANE_KEY_REVOKED */
export function verifyBy(
  root: Metadata<"root">,
  role: TopLevelRole,
  metadata: Metadata<TopLevelRole>,
  checks: Omit<Checks, "now">,
  revokedKeyIds: ReadonlySet<string>,
): void {
  const rule = { ...root.signed.roles[role], keys: root.keys };
  verifyRole({ role, roleName: role }, metadata, rule, checks, revokedKeyIds);
}

/** Who may sign a role, as root or a delegation says. */
export interface RoleRule {
  keys: TrustedKeys;
  keyids: readonly string[];
  threshold: number;
}

/** @throws UptaneError UPTANE_SIGNATURE_*, UPTANE_UNDER_SIGNED, UPTANE_KEY_REVOKED */
export function verifyRole(
  { role, roleName }: { role: TopLevelRole; roleName: string },
  metadata: Metadata<TopLevelRole>,
  rule: RoleRule,
  { families, verify }: Omit<Checks, "now">,
  revokedKeyIds: ReadonlySet<string>,
): void {
  const ofRole = families && "root" in families ? families[role] : families;
  const keys = new Map([...rule.keys].filter(([id]) => rule.keyids.includes(id)));
  const outcome = verifyThreshold(metadata.signedBytes, metadata.signatures, {
    keys,
    threshold: rule.threshold,
    ...(ofRole && { families: ofRole }),
    ...(verify && { verify }),
  });
  if (outcome.signed) return;
  const revoked = metadata.signatures.find(
    ({ keyid }) => revokedKeyIds.has(keyid) && !keys.has(keyid),
  );
  if (revoked !== undefined && outcome.code !== "SIGNATURE_DUPLICATE") {
    const what = `signed by key ${revoked.keyid}, which root has revoked`;
    throw new UptaneError("UPTANE_KEY_REVOKED", roleName, what);
  }
  throw new UptaneError(SIGNATURE_CODES[outcome.code], roleName, outcome.detail);
}

/** Freeze attack: metadata ends when its time is reached. @throws UptaneError UPTANE_EXPIRED */
export function checkFresh(metadata: Metadata<TopLevelRole>, roleName: string, now: Date): void {
  if (expiry(metadata.signed) <= now.getTime()) {
    throw new UptaneError("UPTANE_EXPIRED", roleName, `expired on ${metadata.signed.expires}`);
  }
}

/**
 * When targets end, or the root whose keys sign them if that is sooner, in milliseconds since the
 * epoch; 0 without targets.
 */
export function targetsEnd({ root, targets }: TrustedRepository): number {
  return targets === undefined ? 0 : Math.min(expiry(root.signed), expiry(targets.signed));
}

const text = Type.String();

/** {@link TrustedRepository} as JSON: the files themselves, which are verified again when read. */
export const StoredRepository = Type.Object({
  root: text,
  timestamp: Type.Optional(text),
  snapshot: Type.Optional(text),
  targets: Type.Optional(text),
  delegated: Type.Optional(Type.Record(Type.String({ pattern: "^[\\s\\S]*$" }), text)),
  revoked_key_ids: Type.Optional(Type.Array(text)),
});
export type StoredRepository = Static<typeof StoredRepository>;
const checkStored = Compile(StoredRepository);

export function storeTrusted(trusted: TrustedRepository): StoredRepository {
  const { root, timestamp, snapshot, targets } = trusted;
  const fileText = (metadata: Metadata<TopLevelRole>) => metadata.bytes.toString("utf8");
  return {
    root: fileText(root),
    ...(timestamp && { timestamp: fileText(timestamp) }),
    ...(snapshot && { snapshot: fileText(snapshot) }),
    ...(targets && { targets: fileText(targets) }),
    delegated: Object.fromEntries(
      [...trusted.delegated].map(([role, metadata]) => [role, fileText(metadata)]),
    ),
    revoked_key_ids: [...trusted.revokedKeyIds],
  };
}

/**
 * Takes up what was trusted before a restart. Files that the root's keys don't sign (any more) are
 * left out; expired ones stay, for they say what may not be rolled back.
 * @throws UptaneError UPTANE_STATE_MALFORMED, or what is wrong with the root
 */
export function restoreTrusted(stored: unknown, checks: Omit<Checks, "now">): TrustedRepository {
  if (!checkStored.Check(stored)) {
    throw new UptaneError("UPTANE_STATE_MALFORMED", "state", "not the state of a repository");
  }
  const delegated = Object.entries(stored.delegated ?? {}).flatMap(([role, file]) => {
    const metadata = unlessRefused(() => parseMetadata("targets", Buffer.from(file), role));
    return metadata === undefined ? [] : [[role, metadata] as const];
  });
  const read = <R extends TopLevelRole>(role: R, file: string | undefined) =>
    file === undefined ? undefined : unlessRefused(() => parseMetadata(role, Buffer.from(file)));
  return withoutUnsigned(
    {
      ...trustRoot(Buffer.from(stored.root), checks),
      timestamp: read("timestamp", stored.timestamp),
      snapshot: read("snapshot", stored.snapshot),
      targets: read("targets", stored.targets),
      delegated: new Map(delegated),
      revokedKeyIds: new Set(stored.revoked_key_ids),
    },
    checks,
  );
}

/** Without the files that the keys of its root don't sign. */
export function withoutUnsigned(
  trusted: TrustedRepository,
  checks: Omit<Checks, "now">,
): TrustedRepository {
  const { root, timestamp, snapshot, targets } = trusted;
  const signed = <R extends TopLevelRole>(role: R, metadata: Metadata<R> | undefined) =>
    metadata &&
    unlessRefused(() => {
      verifyBy(root, role, metadata, checks, new Set());
      return metadata;
    });
  return {
    ...trusted,
    timestamp: signed("timestamp", timestamp),
    snapshot: signed("snapshot", snapshot),
    targets: signed("targets", targets),
  };
}

function unlessRefused<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof UptaneError) return undefined;
    throw error;
  }
}
