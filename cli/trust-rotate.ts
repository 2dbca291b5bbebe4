import { Command } from "commander";
import { OnlineKeys } from "#protocol/api/trust.ts";
import type { RoleKeys } from "#protocol/uptane/build.ts";
import { keyId, type UptaneKey } from "#protocol/uptane/key.ts";
import type { TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { currentRoot, currentTargets, readRepository, type Repository } from "./ceremony.ts";
import {
  draftRoot,
  draftTargets,
  inDays,
  keysFolder,
  readJsonFile,
  readPublicKeys,
  rootRoles,
  targetsContent,
  withoutKeys,
} from "./ceremony-edit.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { makePair, openKeys, withKeyOptions, type KeyOptions } from "./ceremony-keys.ts";
import { reporting } from "./reporting.ts";
import { days, withFolder, withRepository } from "./trust-options.ts";

interface RotateOptions extends KeyOptions {
  repository: RepositoryName;
  role?: string;
  public?: string[];
  onlineKeys?: string;
  replace?: string[];
  rootDays: number;
  targetsDays: number;
}

/** `latticeway trust rotate` */
export function rotateCommand(): Command {
  return withKeyOptions(withRepository(withFolder(new Command("rotate"))))
    .description("Replace a role's keys, or without --role only renew what would expire")
    .option("--role <name>", "root, targets, snapshot, timestamp or the name of a supplier")
    .option("--public <file...>", "the new keys in PEM (default: makes a pair here)")
    .option("--online-keys <file>", "the new keys of online roles, from `trust keys`")
    .option("--replace <key-id...>", "beginnings of the ids to take away (default: all)")
    .option("--root-days <n>", "days that the next root holds", days, 365)
    .option("--targets-days <n>", "days that the next targets hold", days, 180)
    .addHelpText("after", "\nDrafts the next version; `latticeway trust sign` signs it.")
    .action((options: RotateOptions, command: Command) =>
      reporting(command, () => rotate(options)),
    );
}

async function rotate(options: RotateOptions): Promise<string> {
  const repository = await readRepository(options.dir, options.repository);
  const { role } = options;
  if (role === undefined && options.onlineKeys === undefined) {
    return written(await renew(repository, options));
  }
  if (role !== undefined && !isTopLevel(role)) {
    return written(await rotateSupplier(repository, role, options));
  }
  const change = await newKeys(repository, role, options);
  const root = await draftRoot(repository, change, inDays(options.rootDays));
  // What the old release keys have signed, no vehicle takes after the root.
  const isSigned = role === "targets" && currentTargets(repository, "targets") !== undefined;
  const targets = isSigned
    ? [await draftTargets(repository, "targets", {}, inDays(options.targetsDays))]
    : [];
  return written([root, ...targets]);
}

const TOP_LEVEL: readonly TopLevelRole[] = ["root", "targets", "snapshot", "timestamp"];

function isTopLevel(role: string): role is TopLevelRole {
  return (TOP_LEVEL as readonly string[]).includes(role);
}

function written(files: readonly string[]): string {
  return files.map((file) => `Wrote ${file}`).join("\n");
}

/** New versions with nothing new but the time that they hold. */
async function renew(repository: Repository, options: RotateOptions): Promise<string[]> {
  const root = await draftRoot(repository, {}, inDays(options.rootDays));
  const names = new Set([...repository.targets.keys(), ...repository.drafts.targets.keys()]);
  const expires = inDays(options.targetsDays);
  const targets = [...names].map((name) => draftTargets(repository, name, {}, expires));
  return [root, ...(await Promise.all(targets))];
}

/** The root's change: one role's keys, or those of all online roles of a file. */
async function newKeys(
  repository: Repository,
  role: TopLevelRole | undefined,
  options: RotateOptions,
): Promise<Partial<Record<TopLevelRole, RoleKeys>>> {
  const roles = rootRoles(currentRoot(repository));
  if (options.onlineKeys === undefined) {
    if (role === undefined) return {};
    return { [role]: await replaced(roles[role], options) };
  }
  const file = await readJsonFile(options.onlineKeys, OnlineKeys);
  const online: Partial<Record<TopLevelRole, UptaneKey[]>> = file[options.repository];
  const wanted = role === undefined ? TOP_LEVEL : [role];
  const changed = wanted.flatMap((name) => {
    const keys = online[name];
    return keys === undefined ? [] : [[name, { ...roles[name], keys }] as const];
  });
  if (changed.length > 0) return Object.fromEntries(changed);
  const what = `${role} of the ${options.repository} is no online role`;
  throw new CeremonyError("CEREMONY_ROLE_UNKNOWN", what);
}

/** The delegation, and what the supplier has to sign anew with its new keys. */
async function rotateSupplier(
  repository: Repository,
  name: string,
  options: RotateOptions,
): Promise<string[]> {
  const targets = currentTargets(repository, "targets");
  const { delegations } = targets === undefined ? { delegations: [] } : targetsContent(targets);
  const known = delegations.find((each) => each.name === name);
  if (known === undefined) {
    throw new CeremonyError("CEREMONY_ROLE_UNKNOWN", `${name} is no supplier here`);
  }
  const role = { ...known, ...(await replaced(known, options)) };
  const change = { delegations: delegations.map((each) => (each === known ? role : each)) };
  const expires = inDays(options.targetsDays);
  return [
    await draftTargets(repository, "targets", change, expires),
    await draftTargets(repository, name, {}, expires),
  ];
}

async function replaced(before: RoleKeys, options: RotateOptions): Promise<RoleKeys> {
  const kept = options.replace === undefined ? [] : withoutKeys(before.keys, options.replace);
  const added =
    options.public === undefined
      ? await makePair(await openKeys(keysFolder(options), options))
      : await readPublicKeys(options.public);
  const keys = new Map([...kept, ...added].map((key) => [keyId(key), key]));
  return { ...before, keys: [...keys.values()] };
}
