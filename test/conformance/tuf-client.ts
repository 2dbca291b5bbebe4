#!/usr/bin/env -S sh -c 'exec "$(dirname "$0")/../../node_modules/.bin/node" "$0" "$@"'
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { openSource } from "#cli/repository-source.ts";
import { findTarget } from "#protocol/uptane/find-target.ts";
import { isFile, type TargetFile } from "#protocol/uptane/metadata.ts";
import { fileName, refresh, type Workflow } from "#protocol/uptane/refresh.ts";
import { runWorkflow } from "#protocol/uptane/run-workflow.ts";
import { restoreTrusted, trustRoot, type TrustedRepository } from "#protocol/uptane/trusted.ts";

// The client-under-test of the public TUF conformance suite (theupdateframework/tuf-conformance,
// CLIENT-CLI.md), on this product's own workflow; without the hybrid rule, which TUF does not know.

interface Options {
  metadataDir: string;
  metadataUrl?: string;
  targetName?: string;
  targetBaseUrl?: string;
  targetDir?: string;
  daysInFuture: number;
  maxRootRotations: number;
}

const RULES = { families: [] };
const DAY_MS = 86_400_000;

const program = new Command("tuf-client")
  .requiredOption("--metadata-dir <folder>", "the metadata that is trusted")
  .option("--metadata-url <url>", "the repository's metadata")
  .option("--target-name <path>", "the target to download")
  .option("--target-base-url <url>", "the repository's targets")
  .option("--target-dir <folder>", "where targets go")
  .option("--days-in-future <n>", "pretend that it is later", Number, 0)
  .option("--max-root-rotations <n>", "roots to follow at most", Number, 256);
program.command("init").argument("<trusted-root>").action(command(init));
program.command("refresh").action(command((options) => refreshAll(options)));
program.command("download").action(command(download));
await program.parseAsync();

/** Exit code 1 and one line for whatever goes wrong. */
function command(
  action: (options: Options, argument: string) => Promise<unknown>,
): (argument: string) => Promise<void> {
  return async (argument) => {
    try {
      await action(program.opts<Options>(), argument);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      process.stderr.write(`${code ?? "error"}: ${message}\n`);
      process.exitCode = 1;
    }
  };
}

async function init({ metadataDir }: Options, file: string): Promise<void> {
  const root = await readFile(file);
  trustRoot(root, RULES);
  await mkdir(metadataDir, { recursive: true });
  await write(metadataDir, "root.json", root);
}

async function refreshAll(options: Options, now = startTime(options)): Promise<TrustedRepository> {
  const { metadataDir, maxRootRotations } = options;
  const trusted = await load(metadataDir);
  return runHere(options, refresh(trusted, { ...RULES, now, maxRootRotations }));
}

function startTime({ daysInFuture }: Options): Date {
  return new Date(Date.now() + daysInFuture * DAY_MS);
}

async function download(options: Options): Promise<void> {
  const { targetName, targetBaseUrl, targetDir } = options;
  const now = startTime(options);
  const trusted = await refreshAll(options, now);
  const path = demand("--target-name", targetName);
  const { file } = await runHere(options, findTarget(trusted, path, { ...RULES, now }));
  const folder = demand("--target-dir", targetDir);
  const known = await readFile(join(folder, fileName(path))).catch(() => undefined);
  if (known !== undefined && isTarget(known, file)) return;
  const source = openSource(demand("--target-base-url", targetBaseUrl));
  const bytes = await source.fetch(targetFile(trusted, path, file), file.length);
  if (bytes === undefined || !isTarget(bytes, file)) {
    throw new Error(`${path} is not what its metadata says`);
  }
  await mkdir(folder, { recursive: true });
  await write(folder, fileName(path), bytes);
}

function isTarget(bytes: Uint8Array, file: TargetFile): boolean {
  const found = isFile(bytes, file);
  return found.length && found.hashes;
}

/** With consistent snapshots the name begins with one of the hashes (TUF 1.0 §6.2). */
function targetFile({ root }: TrustedRepository, path: string, { hashes }: TargetFile): string {
  const segments = path.split("/").map(fileName);
  if (root.signed.consistent_snapshot !== true) return segments.join("/");
  const hash = hashes["sha256"] ?? hashes["sha512"];
  return [...segments.slice(0, -1), `${hash}.${segments.at(-1)}`].join("/");
}

async function runHere<T>(options: Options, workflow: Workflow<T>): Promise<T> {
  const source = openSource(demand("--metadata-url", options.metadataUrl));
  return runWorkflow(workflow, async (step) => {
    if (step.kind === "fetch") return source.fetch(step.file, step.maxBytes);
    const { role, trusted, forget } = step;
    for (const name of forget) await rm(join(options.metadataDir, `${name}.json`), { force: true });
    const { root, timestamp, snapshot, targets, delegated } = trusted;
    const top = new Map<string, { bytes: Buffer } | undefined>(
      Object.entries({ root, timestamp, snapshot, targets }),
    );
    const metadata = top.get(role) ?? delegated.get(role);
    if (metadata) await write(options.metadataDir, `${fileName(role)}.json`, metadata.bytes);
    return undefined;
  });
}

/** What earlier commands left; files that are not signed (any more) don't count. */
async function load(folder: string): Promise<TrustedRepository> {
  const stored: Record<string, string> = {};
  for (const name of await readdir(folder)) {
    if (!name.endsWith(".json")) continue;
    const role = decodeURIComponent(name.slice(0, -".json".length));
    stored[role] = await readFile(join(folder, name), "utf8");
  }
  const { root, timestamp, snapshot, targets, ...delegated } = stored;
  return restoreTrusted(
    {
      root,
      ...(timestamp !== undefined && { timestamp }),
      ...(snapshot !== undefined && { snapshot }),
      ...(targets !== undefined && { targets }),
      delegated,
    },
    RULES,
  );
}

/** Whole or not at all. */
async function write(folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(folder, `.${process.pid}.new`);
  await writeFile(temporary, bytes);
  await rename(temporary, join(folder, name));
}

function demand(option: string, value: string | undefined): string {
  if (value === undefined) throw new Error(`${option} is missing`);
  return value;
}
