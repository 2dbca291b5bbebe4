import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Command } from "commander";
import Type from "typebox";
import { Compile } from "typebox/compile";
import { PendingTargets, type PendingTarget } from "#protocol/api/trust.ts";
import { member, type TargetFile } from "#protocol/uptane/metadata.ts";
import { covers } from "#protocol/uptane/path-pattern.ts";
import { imageTraits } from "#protocol/uptane/ecu-target.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { knownReleaseCounter } from "#protocol/uptane/release-counter.ts";
import { currentTargets, readRepository, type Repository } from "./ceremony.ts";
import { draftTargets, inDays, readJsonFile, targetsContent } from "./ceremony-edit.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { withGateway } from "./gateway.ts";
import { reporting } from "./reporting.ts";
import { table } from "./table.ts";
import { days, withFolder } from "./trust-options.ts";

interface AddTargetOptions {
  dir: string;
  pending?: string;
  images?: string;
  role: string;
  targetsDays: number;
}

/** `latticeway trust add-target` */
export function addTargetCommand(): Command {
  return withFolder(new Command("add-target"))
    .description("Draft the next image targets, with images that wait for release")
    .argument("[path...]", "their paths (default: all that wait)")
    .option("--pending <file>", "what waits, from `trust pending` (default: asks the gateway)")
    .option("--images <folder>", "your own builds: an image that is none of them is refused")
    .option("--role <name>", "whose targets: targets, or the name of a supplier", "targets")
    .option("--targets-days <n>", "days that they hold", days, 180)
    .addHelpText(
      "after",
      "\nWhat is signed, vehicles install: compare it with what you have built.",
    )
    .action((paths: string[], options: AddTargetOptions, command: Command) =>
      reporting(command, () => addTargets(paths, options)),
    );
}

async function addTargets(paths: readonly string[], options: AddTargetOptions): Promise<string> {
  const { dir, role, pending: file, images } = options;
  const repository = await readRepository(dir, "image");
  const pending =
    file === undefined
      ? await withGateway((gateway) => gateway.get("/uptane/pending", PendingTargets))
      : await readJsonFile(file, PendingTargets);
  if (pending.length === 0) {
    throw new CeremonyError("CEREMONY_NOTHING_TO_DO", "no image waits for a signature");
  }
  const wanted = choose(pending, paths);
  for (const target of wanted) demandConsistent(target);
  if (images !== undefined) await demandBuilt(wanted, images);
  const before = currentTargets(repository, role)?.signed.targets ?? {};
  const added = wanted.filter((target) => isNew(before, target));
  if (added.length === 0) {
    throw new CeremonyError("CEREMONY_NOTHING_TO_DO", `${role} names all of them already`);
  }
  demandMandate(repository, role, added);
  const targets = {
    ...before,
    ...Object.fromEntries(added.map(({ path, ...rest }) => [path, rest])),
  };
  const draft = await draftTargets(
    repository,
    role,
    { targets: targets as Record<string, TargetFile> },
    inDays(options.targetsDays),
  );
  return `${targetTable(added)}\n\nWrote ${draft}`;
}

function choose(pending: PendingTargets, paths: readonly string[]): PendingTarget[] {
  if (paths.length === 0) return pending;
  return paths.map((path) => {
    const found = pending.find((target) => target.path === path);
    if (found === undefined) {
      throw new CeremonyError("CEREMONY_IMAGE_UNKNOWN", `no image ${path} waits for release`);
    }
    return found;
  });
}

const ImageCustom = Compile(
  Type.Object({
    ecu_type: Type.String(),
    hardware_ids: Type.Array(Type.String(), { minItems: 1 }),
    version: Type.String(),
    release_counter: Type.Integer(),
  }),
);

/**
 * The path is what the signer reads and compares with a build: type, version, hardware and release
 * counter must be those that it says. Otherwise a gateway could pass an old image off as a new one.
 * @throws CeremonyError CEREMONY_TARGET_CONTRADICTS; UptaneError UPTANE_CUSTOM_MALFORMED for one
 *   that does not say which hardware it is for
 */
function demandConsistent({ path, custom, ...file }: PendingTarget): void {
  imageTraits(path, { ...file, custom } as TargetFile);
  if (
    ImageCustom.Check(custom) &&
    path === `${custom.ecu_type}/${custom.version}.bin` &&
    custom.release_counter === knownReleaseCounter(custom.version) &&
    custom.hardware_ids.every((id) => id.startsWith(hardwareId(custom.ecu_type, "")))
  ) {
    return;
  }
  const what = `${path} is described as ${JSON.stringify(custom).slice(0, 500)}`;
  throw new CeremonyError("CEREMONY_TARGET_CONTRADICTS", what);
}

/** An image is never replaced under its path: what was released stays what it was. */
function isNew(before: Record<string, TargetFile>, { path, ...target }: PendingTarget): boolean {
  const known = member(before, path);
  if (known === undefined) return true;
  if (isDeepStrictEqual(known, target)) return false;
  const what = `${path} is signed with another length, hash or custom part`;
  throw new CeremonyError("CEREMONY_TARGET_DIFFERS", what);
}

/** What a supplier may not speak of, no vehicle would find. */
function demandMandate(
  repository: Repository,
  role: string,
  added: readonly PendingTarget[],
): void {
  if (role === "targets") return;
  const targets = currentTargets(repository, "targets");
  const delegation = targets?.signed.delegations?.roles.find(({ name }) => name === role);
  const outside = added.find(({ path }) => delegation === undefined || !covers(delegation, path));
  if (outside === undefined) return;
  const what = `${role} may not speak of ${outside.path}`;
  throw new CeremonyError("CEREMONY_ROLE_UNKNOWN", what);
}

/** @throws CeremonyError CEREMONY_IMAGE_UNKNOWN */
async function demandBuilt(targets: readonly PendingTarget[], folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((each) => each.isFile());
  const built = new Map<string, Described>();
  for (const { parentPath, name } of files) {
    const described = await describe(join(parentPath, name));
    built.set(described.sha256, described);
  }
  for (const { path, length, hashes } of targets) {
    const found = built.get(hashes.sha256);
    const isSame =
      found?.length === length && (hashes.sha512 === undefined || hashes.sha512 === found.sha512);
    if (!isSame) {
      const what = `no file in ${folder} is the image ${path} (SHA-256 ${hashes.sha256})`;
      throw new CeremonyError("CEREMONY_IMAGE_UNKNOWN", what);
    }
  }
}

interface Described {
  length: number;
  sha256: string;
  sha512: string;
}

/** As `describeFile` does, of images that need not fit into memory. */
async function describe(file: string): Promise<Described> {
  const [sha256, sha512] = [createHash("sha256"), createHash("sha512")];
  let length = 0;
  for await (const part of createReadStream(file) as AsyncIterable<Buffer>) {
    sha256.update(part);
    sha512.update(part);
    length += part.length;
  }
  return { length, sha256: sha256.digest("hex"), sha512: sha512.digest("hex") };
}

/** With the hardware: a build may be yours and yet be named for an ECU that it is not for. */
function targetTable(targets: readonly PendingTarget[]): string {
  return table(
    ["IMAGE", "HARDWARE", "BYTES", "SHA-256"],
    targets.map(({ path, ...target }) => [
      path,
      imageTraits(path, target as TargetFile).hardware_ids.join(", "),
      String(target.length),
      target.hashes.sha256,
    ]),
  );
}

/** `latticeway trust targets` */
export function targetsCommand(): Command {
  return withFolder(new Command("targets"))
    .description("List the images that the newest targets name, signed or drafted")
    .action((options: { dir: string }, command: Command) =>
      reporting(command, () => listTargets(options)),
    );
}

async function listTargets({ dir }: { dir: string }): Promise<string> {
  const repository = await readRepository(dir, "image");
  const names = new Set([...repository.targets.keys(), ...repository.drafts.targets.keys()]);
  const rows = [...names].flatMap((role) => {
    const targets = currentTargets(repository, role);
    if (targets === undefined) return [];
    const state = repository.drafts.targets.has(role) ? "draft" : "signed";
    const files = Object.entries(targetsContent(targets).targets);
    return files.map(([path, { length, hashes }]) => [
      path,
      String(length),
      hashes["sha256"] ?? "-",
      `${role} ${targets.signed.version}`,
      state,
    ]);
  });
  if (rows.length === 0) return "No image is named.";
  return table(["IMAGE", "BYTES", "SHA-256", "BY", "STATE"], rows);
}
