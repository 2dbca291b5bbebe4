import { createHash } from "node:crypto";
import { Type, type Static, type TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { canonicalJson } from "./canonical-json.ts";
import { metadataKeys, type TrustedKeys } from "./key.ts";
import { MAX_SIGNATURE_DIGITS, type Signature } from "./signature.ts";
import { parseStrictJson, StrictJsonError } from "./strict-json.ts";
import { UptaneError } from "./uptane-error.ts";

/** The roles of a repository (TUF 1.0 §4.3 to §4.5); delegated targets have names of their own. */
export type TopLevelRole = "root" | "timestamp" | "snapshot" | "targets";

/** The most bytes a file may have, whatever other metadata says of it. */
export const MAX_METADATA_BYTES: Readonly<Record<TopLevelRole, number>> = {
  root: 512 * 1024,
  timestamp: 64 * 1024,
  snapshot: 2 * 1024 * 1024,
  targets: 8 * 1024 * 1024,
};

const MAX_SIGNATURES = 64;
const MAX_NAME_LENGTH = 1024;

const version = Type.Integer({ minimum: 1 });
const length = Type.Integer({ minimum: 0 });
const name = Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH });
const keyIds = Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
  maxItems: 256,
  uniqueItems: true,
});
// A Record over Type.String() would leave members unchecked whose name has a line break.
const anyName = Type.String({ pattern: "^[\\s\\S]*$" });
const hashes = Type.Record(anyName, Type.String({ pattern: "^(?:[0-9a-fA-F]{2})+$" }), {
  minProperties: 1,
});
const openObject = Type.Record(anyName, Type.Unknown());

/** What every role has. Members that nobody knows are allowed, and signed with the rest (§4.1). */
const common = {
  spec_version: Type.String({ pattern: "^[0-9]+(?:\\.[0-9]+){1,2}$" }),
  version,
  expires: Type.String({ pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" }),
};

const Role = Type.Object({ keyids: keyIds, threshold: Type.Integer({ minimum: 1 }) });

const Root = Type.Object({
  ...common,
  consistent_snapshot: Type.Optional(Type.Boolean()),
  keys: openObject,
  roles: Type.Object({ root: Role, timestamp: Role, snapshot: Role, targets: Role }),
});

const MetaFile = Type.Object({
  version,
  length: Type.Optional(length),
  hashes: Type.Optional(hashes),
});
export type MetaFile = Static<typeof MetaFile>;

const Timestamp = Type.Object({ ...common, meta: Type.Object({ "snapshot.json": MetaFile }) });
const Snapshot = Type.Object({
  ...common,
  meta: Type.Intersect([Type.Record(anyName, MetaFile), Type.Object({ "targets.json": MetaFile })]),
});

const TargetFile = Type.Object({ length, hashes, custom: Type.Optional(openObject) });
export type TargetFile = Static<typeof TargetFile>;

const DelegatedRole = Type.Object({
  name,
  keyids: keyIds,
  threshold: Type.Integer({ minimum: 1 }),
  terminating: Type.Boolean(),
  paths: Type.Optional(Type.Array(name)),
  path_hash_prefixes: Type.Optional(Type.Array(Type.String({ pattern: "^[0-9a-f]+$" }))),
});
export type DelegatedRole = Static<typeof DelegatedRole>;

const Targets = Type.Object({
  ...common,
  targets: Type.Record(anyName, TargetFile),
  delegations: Type.Optional(Type.Object({ keys: openObject, roles: Type.Array(DelegatedRole) })),
  /** Director only: whom these targets are for. */
  custom: Type.Optional(openObject),
});

const schemas = { root: Root, timestamp: Timestamp, snapshot: Snapshot, targets: Targets };
type Signed<R extends TopLevelRole> = Static<(typeof schemas)[R]>;

/** A file that was read, but not yet verified. */
export interface Metadata<R extends TopLevelRole> {
  readonly bytes: Buffer;
  /** What the signatures are over: the canonical form of `signed`, with all its members. */
  readonly signedBytes: Buffer;
  readonly signatures: readonly Signature[];
  readonly signed: Signed<R>;
  /** Of root and of delegations; for other roles nothing. */
  readonly keys: TrustedKeys;
}

const Envelope = Type.Object({
  signed: openObject,
  signatures: Type.Array(
    Type.Object({
      keyid: Type.String({ minLength: 1, maxLength: 256 }),
      sig: Type.String({ maxLength: MAX_SIGNATURE_DIGITS }),
    }),
    { maxItems: MAX_SIGNATURES },
  ),
});
const checkEnvelope = Compile(Envelope);
const checks = {
  root: Compile(Root as TSchema),
  timestamp: Compile(Timestamp as TSchema),
  snapshot: Compile(Snapshot as TSchema),
  targets: Compile(Targets as TSchema),
};

/**
 * Reads a metadata file of a role; delegated targets are of the role `targets` and have a name.
 * The file itself need not be canonical JSON, its signatures are over the canonical form (§4.2.1).
 * @throws UptaneError UPTANE_METADATA_*, UPTANE_SPEC_VERSION
 */
export function parseMetadata<R extends TopLevelRole>(
  role: R,
  bytes: Uint8Array,
  roleName: string = role,
): Metadata<R> {
  if (bytes.length > MAX_METADATA_BYTES[role]) {
    throw new UptaneError("UPTANE_METADATA_TOO_LARGE", roleName, `${bytes.length} bytes`);
  }
  const envelope = readJson(bytes, roleName);
  if (!checkEnvelope.Check(envelope)) {
    throw new UptaneError("UPTANE_METADATA_MALFORMED", roleName, "not { signed, signatures }");
  }
  const signed = readSigned(role, envelope.signed, roleName);
  return {
    bytes: Buffer.from(bytes),
    signedBytes: canonicalJson(envelope.signed),
    signatures: envelope.signatures,
    signed,
    keys: keysOf(envelope.signed),
  };
}

/**
 * Reads JSON that means one thing to every reader; who reads which role is the caller's to know.
 * @throws UptaneError UPTANE_METADATA_MALFORMED, UPTANE_METADATA_DUPLICATE_KEY,
 *   UPTANE_METADATA_TOO_DEEP
 */
export function readJson(bytes: Uint8Array, roleName: string): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw new UptaneError(JSON_CODES[error.code], roleName, error.message);
  }
}

const JSON_CODES = {
  STRICT_JSON_SYNTAX: "UPTANE_METADATA_MALFORMED",
  STRICT_JSON_DUPLICATE_KEY: "UPTANE_METADATA_DUPLICATE_KEY",
  STRICT_JSON_TOO_DEEP: "UPTANE_METADATA_TOO_DEEP",
} as const;

function readSigned<R extends TopLevelRole>(
  role: R,
  signed: Record<string, unknown>,
  roleName: string,
): Signed<R> {
  if (signed["_type"] !== role) {
    const type = JSON.stringify(signed["_type"]);
    throw new UptaneError("UPTANE_METADATA_TYPE", roleName, `its _type is ${type}, not "${role}"`);
  }
  const check = checks[role];
  if (!check.Check(signed)) {
    const [first] = check.Errors(signed);
    const where = first === undefined ? "" : `${first.instancePath} ${first.message}`;
    throw new UptaneError("UPTANE_METADATA_MALFORMED", roleName, where);
  }
  const value = signed as Signed<R>;
  if (!value.spec_version.startsWith("1.")) {
    const what = `specification version ${value.spec_version}`;
    throw new UptaneError("UPTANE_SPEC_VERSION", roleName, `${what}, not 1.x`);
  }
  if (Number.isNaN(expiry(value))) {
    throw new UptaneError("UPTANE_METADATA_MALFORMED", roleName, `no date: ${value.expires}`);
  }
  if (role === "targets") checkDelegations(value as Signed<"targets">, roleName);
  return value;
}

/** Milliseconds since the epoch; NaN for a day like February 30th. */
export function expiry({ expires }: { expires: string }): number {
  const time = Date.parse(expires);
  if (Number.isNaN(time)) return time;
  return new Date(time).toISOString() === expires.replace("Z", ".000Z") ? time : Number.NaN;
}

/** §4.5: exactly one kind of path; names that are unique and none of the top level's. */
function checkDelegations({ delegations }: Signed<"targets">, roleName: string): void {
  const names = new Set<string>(Object.keys(MAX_METADATA_BYTES));
  for (const role of delegations?.roles ?? []) {
    const isOneKind = (role.paths === undefined) !== (role.path_hash_prefixes === undefined);
    if (names.has(role.name) || !isOneKind) {
      const what = `delegates to "${role.name}" in a way that is not allowed`;
      throw new UptaneError("UPTANE_METADATA_MALFORMED", roleName, what);
    }
    names.add(role.name);
  }
}

function keysOf(signed: Record<string, unknown>): TrustedKeys {
  const { keys, delegations } = signed as {
    keys?: Record<string, unknown>;
    delegations?: { keys?: Record<string, unknown> };
  };
  return metadataKeys(keys ?? delegations?.keys ?? {});
}

/** The hashes that can be checked here. */
const HASHES = ["sha256", "sha512"] as const;

/**
 * Whether bytes have the listed length and hashes, as far as they are listed. Hashes of unknown
 * algorithms alone are no proof: then it has not.
 */
export function isFile(
  bytes: Uint8Array,
  listed: { length?: number | undefined; hashes?: Readonly<Record<string, string>> | undefined },
): { length: boolean; hashes: boolean } {
  const { hashes: expected } = listed;
  const known = HASHES.filter((algorithm) => expected && Object.hasOwn(expected, algorithm));
  return {
    length: listed.length === undefined || listed.length === bytes.length,
    hashes:
      expected === undefined ||
      (known.length > 0 &&
        known.every(
          (algorithm) =>
            createHash(algorithm).update(bytes).digest("hex") ===
            expected[algorithm]?.toLowerCase(),
        )),
  };
}

/** A member of a table in metadata; its names are anybody's, `constructor` included. */
export function member<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
