import { createPublicKey } from "node:crypto";
import { join } from "node:path";
import type { TSchema, Static } from "typebox";
import { Compile } from "typebox/compile";
import {
  buildRoot,
  buildTargets,
  HYBRID_THRESHOLD,
  type DelegatedTo,
  type RoleKeys,
  type TargetsContent,
} from "#protocol/uptane/build.ts";
import { keyId, keyRecord, trustKeys, type UptaneKey } from "#protocol/uptane/key.ts";
import type { Metadata, TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { KeyFamily } from "#protocol/uptane/scheme.ts";
import {
  currentRoot,
  currentTargets,
  nextVersion,
  readBounded,
  writeDraft,
  type Repository,
} from "./ceremony.ts";
import { CeremonyError } from "./ceremony-error.ts";

const DAY = 86_400_000;

/** When something that is made now ends. */
export function inDays(days: number): Date {
  return new Date(Date.now() + days * DAY);
}

/** The keys of each role of a root. */
export function rootRoles({ signed }: Metadata<"root">): Record<TopLevelRole, RoleKeys> {
  const role = ({ keyids, threshold }: { keyids: string[]; threshold: number }) => ({
    keys: recordsOf(signed.keys, keyids),
    threshold,
  });
  const { root, timestamp, snapshot, targets } = signed.roles;
  return {
    root: role(root),
    timestamp: role(timestamp),
    snapshot: role(snapshot),
    targets: role(targets),
  };
}

/** What targets hold, apart from version and expiry. */
export function targetsContent({ signed }: Metadata<"targets">): TargetsContent & {
  delegations: readonly DelegatedTo[];
} {
  const { targets, delegations, custom } = signed;
  return {
    targets,
    delegations: (delegations?.roles ?? []).map(({ keyids, ...role }) => ({
      ...role,
      keys: recordsOf(delegations?.keys ?? {}, keyids),
    })),
    ...(custom && { custom }),
  };
}

function recordsOf(table: Record<string, unknown>, keyids: readonly string[]): UptaneKey[] {
  return keyids.map((id) => table[id] as UptaneKey);
}

/** Drafts the next root with other keys for some roles, or the same ones. @returns its file */
export function draftRoot(
  repository: Repository,
  change: Partial<Record<TopLevelRole, RoleKeys>>,
  expires: Date,
): Promise<string> {
  const roles = { ...rootRoles(currentRoot(repository)), ...change };
  for (const [name, role] of Object.entries(roles)) demandHybrid(name, role);
  const version = nextVersion(repository, "root");
  return writeDraft(repository.folder, "root", buildRoot({ version, expires }, roles));
}

/** Drafts the next targets of a role, changed; without earlier ones, empty ones. @returns its file */
export function draftTargets(
  repository: Repository,
  roleName: string,
  change: Partial<TargetsContent>,
  expires: Date,
): Promise<string> {
  const before = currentTargets(repository, roleName);
  const { delegations = [], ...content } = {
    ...(before === undefined ? { targets: {} } : targetsContent(before)),
    ...change,
  };
  for (const role of delegations) demandHybrid(role.name, role);
  const version = nextVersion(repository, roleName);
  const whole = { ...content, ...(delegations.length > 0 && { delegations }) };
  return writeDraft(repository.folder, roleName, buildTargets({ version, expires }, whole));
}

const FAMILIES: readonly KeyFamily[] = ["classical", "post-quantum"];

/** @throws CeremonyError CEREMONY_KEYS_INCOMPLETE: no vehicle would ever be content. */
export function demandHybrid(name: string, { keys, threshold = HYBRID_THRESHOLD }: RoleKeys): void {
  const trusted = [...trustKeys(keys).values()];
  for (const family of FAMILIES) {
    const count = new Set(
      trusted.flatMap((key) => (key.scheme.family === family ? [key.fingerprint] : [])),
    ).size;
    if (count < threshold) {
      const what = `${name} would have ${count} ${family} keys, ${threshold} of each family must sign`;
      throw new CeremonyError("CEREMONY_KEYS_INCOMPLETE", what);
    }
  }
}

/** Without the keys whose ids begin so. @throws CeremonyError CEREMONY_KEY_UNKNOWN */
export function withoutKeys(keys: readonly UptaneKey[], ids: readonly string[]): UptaneKey[] {
  for (const id of ids) {
    const count = keys.filter((key) => keyId(key).startsWith(id)).length;
    if (count !== 1 || id === "") {
      const what = `${count} keys of the role have an id that begins with "${id}"`;
      throw new CeremonyError("CEREMONY_KEY_UNKNOWN", what);
    }
  }
  return keys.filter((key) => !ids.some((id) => keyId(key).startsWith(id)));
}

const MAX_INPUT_BYTES = 16 * 1024 * 1024;

/**
 * The public keys in PEM files, one or several in each.
 * @throws CeremonyError CEREMONY_FILE_INVALID; UptaneKeyError UPTANE_SCHEME_UNSUPPORTED
 */
export async function readPublicKeys(files: readonly string[]): Promise<UptaneKey[]> {
  const texts = await Promise.all(files.map((file) => readBounded(file, 64 * 1024)));
  return texts.flatMap((text, index) => publicKeysIn(files[index] ?? "", text.toString("utf8")));
}

const PEM = /-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g;

function publicKeysIn(file: string, text: string): UptaneKey[] {
  const blocks = text.match(PEM) ?? [];
  if (blocks.length === 0 || text.includes("PRIVATE KEY")) {
    throw new CeremonyError(
      "CEREMONY_FILE_INVALID",
      `${file} does not hold public keys in PEM alone`,
    );
  }
  return blocks.map((pem) => {
    try {
      return keyRecord(createPublicKey(pem));
    } catch (error) {
      if (error instanceof Error && error.name === "UptaneKeyError") throw error;
      throw new CeremonyError("CEREMONY_FILE_INVALID", `${file} holds a key that can't be read`);
    }
  });
}

/** A JSON file of a shape. @throws CeremonyError CEREMONY_FILE_INVALID */
export async function readJsonFile<S extends TSchema>(file: string, schema: S): Promise<Static<S>> {
  const text = (await readBounded(file, MAX_INPUT_BYTES)).toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CeremonyError("CEREMONY_FILE_INVALID", `${file} is not JSON`);
  }
  const check = Compile(schema);
  if (check.Check(value)) return value;
  const [first] = check.Errors(value);
  const where = first === undefined ? "" : `: ${first.instancePath} ${first.message}`;
  throw new CeremonyError("CEREMONY_FILE_INVALID", `${file} is not of the expected shape${where}`);
}

/** Where this machine's private keys are. */
export function keysFolder(options: { dir: string; keys?: string }): string {
  return options.keys ?? join(options.dir, "keys");
}
