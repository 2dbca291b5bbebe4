import { Command } from "commander";
import { keyId, type UptaneKey } from "#protocol/uptane/key.ts";
import type { TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { currentRoot, currentTargets, readRepository, type Repository } from "./ceremony.ts";
import {
  draftRoot,
  draftTargets,
  inDays,
  readPublicKeys,
  rootRoles,
  targetsContent,
} from "./ceremony-edit.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { reporting } from "./reporting.ts";
import { days, threshold, withFolder, withRepository } from "./trust-options.ts";

interface AddKeyOptions {
  dir: string;
  repository: RepositoryName;
  role: string;
  public: string[];
  paths?: string[];
  threshold?: number;
  rootDays: number;
  targetsDays: number;
}

/** `latticeway trust add-key` */
export function addKeyCommand(): Command {
  return withRepository(withFolder(new Command("add-key")))
    .description("Let further keys sign a role: root, targets, or a supplier's of any other name")
    .requiredOption("--role <name>", "root, targets, or the name of a supplier")
    .requiredOption("--public <file...>", "public keys in PEM, as `trust make-keys` writes them")
    .option("--paths <pattern...>", "the images of a new supplier, like 'brake-controller/*'")
    .option("--threshold <n>", "keys of each family that must sign from now on", threshold)
    .option("--root-days <n>", "days that the next root holds", days, 365)
    .option("--targets-days <n>", "days that the next targets hold", days, 180)
    .addHelpText("after", "\nDrafts the next version; `latticeway trust sign` signs it.")
    .action((options: AddKeyOptions, command: Command) =>
      reporting(command, () => addKey(options)),
    );
}

async function addKey(options: AddKeyOptions): Promise<string> {
  const repository = await readRepository(options.dir, options.repository);
  const keys = await readPublicKeys(options.public);
  const files = isTopLevel(options.role)
    ? await addToRoot(repository, options.role, keys, options)
    : await addToSupplier(repository, keys, options);
  return [
    ...keys.map((key) => `${options.role} may be signed by ${key.scheme} key ${keyId(key)}`),
    ...files.map((file) => `Wrote ${file}`),
  ].join("\n");
}

function isTopLevel(role: string): role is TopLevelRole {
  return ["root", "targets", "snapshot", "timestamp"].includes(role);
}

async function addToRoot(
  repository: Repository,
  role: TopLevelRole,
  keys: readonly UptaneKey[],
  options: AddKeyOptions,
): Promise<string[]> {
  const before = rootRoles(currentRoot(repository))[role];
  const after = { ...before, keys: joined(before.keys, keys), ...withThreshold(options) };
  const root = await draftRoot(repository, { [role]: after }, inDays(options.rootDays));
  const needsMore = role === "targets" && options.threshold !== undefined;
  if (!needsMore || currentTargets(repository, "targets") === undefined) return [root];
  // Fewer have signed those that there are.
  return [root, await draftTargets(repository, "targets", {}, inDays(options.targetsDays))];
}

/** The delegation, and for a new supplier its first, empty targets, for the supplier to sign. */
async function addToSupplier(
  repository: Repository,
  keys: readonly UptaneKey[],
  options: AddKeyOptions,
): Promise<string[]> {
  const { role: name, paths, targetsDays } = options;
  if (repository.name === "director") {
    throw new CeremonyError("CEREMONY_ROLE_UNKNOWN", "a director has no suppliers");
  }
  const expires = inDays(targetsDays);
  const targets = currentTargets(repository, "targets");
  const delegations = targets === undefined ? [] : targetsContent(targets).delegations;
  const known = delegations.find((each) => each.name === name);
  if (known === undefined && paths === undefined) {
    const what = `${name} is no supplier yet; --paths says for which images it shall speak`;
    throw new CeremonyError("CEREMONY_ROLE_UNKNOWN", what);
  }
  const role = {
    ...(known ?? { name, terminating: true }),
    ...(paths && { paths }),
    keys: joined(known?.keys ?? [], keys),
    ...withThreshold(options),
  };
  const others = delegations.filter((each) => each !== known);
  const change = { delegations: [...others, role] };
  const file = await draftTargets(repository, "targets", change, expires);
  if (currentTargets(repository, name) !== undefined) return [file];
  return [file, await draftTargets(repository, name, {}, expires)];
}

function joined(before: readonly UptaneKey[], added: readonly UptaneKey[]): UptaneKey[] {
  return [...new Map([...before, ...added].map((key) => [keyId(key), key])).values()];
}

function withThreshold({ threshold: count }: AddKeyOptions): { threshold?: number } {
  return count === undefined ? {} : { threshold: count };
}
