import { basename, join, resolve } from "node:path";
import { Command } from "commander";
import { PublishedMetadata, TrustStatus } from "#protocol/api/trust.ts";
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
import { withGateway, type Gateway } from "./gateway.ts";
import { printable } from "./printable.ts";
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
  if (given.length > 0) return withGateway((gateway) => sendAll(gateway, given));
  const repositories = [await readRepository(dir, "director"), await readRepository(dir, "image")];
  const drafts = repositories.flatMap(draftFiles);
  if (repositories.flatMap((repository) => filesOf(repository, 0)).length === 0) {
    throw new CeremonyError("CEREMONY_NOTHING_TO_DO", `${dir} has nothing that is signed by all`);
  }
  const lines = await withGateway(async (gateway) => {
    const status = await gateway.get("/uptane/status", TrustStatus);
    const files = repositories.flatMap((repository) =>
      filesOf(repository, versionOf(status[repository.name], "root")),
    );
    return sendAll(gateway, files);
  });
  return [lines, ...drafts.map((file) => `Left out, not signed by all: ${file}`)].join("\n");
}

function versionOf({ roles }: TrustStatus["image"], role: string): number {
  return roles.find((each) => each.role === role)?.version ?? 0;
}

/**
 * In the order in which a vehicle would take them. Roots before the one that the gateway has are
 * behind it; that one is sent again, so that another of the same version does not go unnoticed.
 */
function filesOf({ folder, roots, targets }: Repository, knownRoot: number): string[] {
  const top = targets.get("targets");
  const below = [...targets].filter(([roleName]) => roleName !== "targets");
  return [
    ...roots
      .filter(({ signed }) => signed.version >= knownRoot)
      .map(({ signed }) => metadataFileName("root", signed.version)),
    ...(top ? [metadataFileName("targets", top.signed.version)] : []),
    ...below.map(([roleName, { signed }]) => metadataFileName(roleName, signed.version)),
  ].map((name) => join(folder, name));
}

async function sendAll(gateway: Gateway, files: readonly string[]): Promise<string> {
  const sent: Sent[] = [];
  for (const file of files) sent.push(await send(gateway, file));
  return sent.map((each, index) => line(each, sent.slice(index + 1))).join("\n");
}

interface Sent extends PublishedMetadata {
  roleName: string;
}

function line({ repository, roleName, version, ...sent }: Sent, later: readonly Sent[]): string {
  const name = `${repository} ${roleName} ${version}`;
  if (sent.live) return `${name}: ${sent.changed ? "published" : "served already"}`;
  // What waits is served all at once.
  const last = later.find((each) => each.repository === repository && each.live && each.changed);
  if (last !== undefined) return `${name}: published, with ${last.roleName} ${last.version}`;
  const missing = printable(sent.waiting_for.join(", "));
  return `${name}: taken, and served once these are published too: ${missing}`;
}

async function send(gateway: Gateway, file: string): Promise<Sent> {
  const repository = repositoryOf(file);
  const { roleName } = readFileName(basename(file)) ?? {};
  if (roleName === undefined) throw notMetadata(file);
  const bytes = await readBounded(
    file,
    MAX_METADATA_BYTES[roleName === "root" ? "root" : "targets"],
  );
  const query = ["root", "targets"].includes(roleName) ? "" : `?role=${fileName(roleName)}`;
  const path = `/uptane/${repository}/metadata${query}`;
  return { ...(await gateway.post(path, bytes, PublishedMetadata)), repository, roleName };
}

/** A root or targets say not of which repository they are; the folder does. */
export function repositoryOf(file: string): RepositoryName {
  const name = basename(resolve(folderOf(file)));
  if (name === "director" || name === "image") return name;
  throw notMetadata(file);
}

function notMetadata(file: string): CeremonyError {
  const what = `${file} is no metadata file in a folder called director or image`;
  return new CeremonyError("CEREMONY_FILE_INVALID", what);
}
