import { basename, join, resolve } from "node:path";
import { Command } from "commander";
import { PublishedMetadata } from "#protocol/api/trust.ts";
import { MAX_METADATA_BYTES } from "#protocol/uptane/metadata.ts";
import { fileName } from "#protocol/uptane/refresh.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import {
  draftFiles,
  folderOf,
  metadataFileName,
  readBounded,
  readFileName,
  readRepository,
  type Repository,
} from "./ceremony.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { GatewayError, withGateway, type Gateway } from "./gateway.ts";
import { reporting } from "./reporting.ts";
import { withFolder } from "./trust-options.ts";

/** `latticeway trust publish` */
export function publishCommand(): Command {
  return withFolder(new Command("publish"))
    .description("Send what is signed to the gateway, which verifies it as a vehicle does")
    .argument("[file...]", "metadata files (default: every root and the newest targets)")
    .action((files: string[], { dir }: { dir: string }, command: Command) =>
      reporting(command, () => publish(files, dir)),
    );
}

async function publish(given: readonly string[], dir: string): Promise<string> {
  const { files, drafts } =
    given.length > 0 ? { files: given, drafts: [] } : await signedFiles(dir);
  if (files.length === 0) {
    throw new CeremonyError("CEREMONY_NOTHING_TO_DO", `${dir} has nothing that is signed by all`);
  }
  const lines = await withGateway(async (gateway) => {
    const sent: string[] = [];
    for (const file of files) sent.push(await send(gateway, file, files));
    return sent;
  });
  return [...lines, ...drafts.map((draft) => `Left out, not signed by all: ${draft}`)].join("\n");
}

/** In the order in which a vehicle would take them. */
async function signedFiles(dir: string): Promise<{ files: string[]; drafts: string[] }> {
  const repositories = [await readRepository(dir, "director"), await readRepository(dir, "image")];
  return {
    files: repositories.flatMap(filesOf),
    drafts: repositories.flatMap(draftFiles),
  };
}

function filesOf({ folder, roots, targets }: Repository): string[] {
  const top = targets.get("targets");
  const below = [...targets].filter(([roleName]) => roleName !== "targets");
  return [
    ...roots.map(({ signed }) => metadataFileName("root", signed.version)),
    ...(top ? [metadataFileName("targets", top.signed.version)] : []),
    ...below.map(([roleName, { signed }]) => metadataFileName(roleName, signed.version)),
  ].map((name) => join(folder, name));
}

async function send(gateway: Gateway, file: string, all: readonly string[]): Promise<string> {
  const repository = repositoryOf(file);
  const { roleName, version } = readFileName(basename(file)) ?? {};
  if (repository === undefined || roleName === undefined) {
    const what = `${file} is no metadata file in a folder called director or image`;
    throw new CeremonyError("CEREMONY_FILE_INVALID", what);
  }
  const bytes = await readBounded(
    file,
    MAX_METADATA_BYTES[roleName === "root" ? "root" : "targets"],
  );
  const role = ["root", "targets"].includes(roleName) ? "" : `?role=${fileName(roleName)}`;
  const path = `/uptane/${repository}/metadata${role}`;
  try {
    const { live, waiting_for } = await gateway.post(path, bytes, PublishedMetadata);
    const state = live
      ? "published"
      : `taken; served as soon as there is ${waiting_for.join(", ")}`;
    return `${repository} ${roleName} ${version}: ${state}`;
  } catch (error) {
    // Earlier roots have been published with their successors; only the newest may be missing.
    const isOld = all.some((other) => isLaterRoot(other, file));
    if (!isOld || !(error instanceof GatewayError) || error.code !== "UPTANE_ROOT_ROLLBACK") {
      throw error;
    }
    return `${repository} ${roleName} ${version}: published before`;
  }
}

function repositoryOf(file: string): RepositoryName | undefined {
  const name = basename(resolve(folderOf(file)));
  return name === "director" || name === "image" ? name : undefined;
}

function isLaterRoot(other: string, file: string): boolean {
  const [a, b] = [readFileName(basename(other)), readFileName(basename(file))];
  const areRoots = a?.roleName === "root" && b?.roleName === "root";
  return areRoots && repositoryOf(other) === repositoryOf(file) && a.version > b.version;
}
