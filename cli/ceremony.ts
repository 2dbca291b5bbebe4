import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MAX_METADATA_BYTES, parseMetadata, type Metadata } from "#protocol/uptane/metadata.ts";
import { fileName } from "#protocol/uptane/refresh.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { CeremonyError } from "./ceremony-error.ts";

/** A repository's offline files: what is signed lies in its folder, what is not yet in `draft/`. */
export interface Repository {
  readonly name: RepositoryName;
  readonly folder: string;
  /** Every version, in order. */
  readonly roots: readonly Metadata<"root">[];
  /** The newest of each role: `targets`, and delegated ones by their names. */
  readonly targets: ReadonlyMap<string, Metadata<"targets">>;
  readonly drafts: {
    readonly root: Metadata<"root"> | undefined;
    readonly targets: ReadonlyMap<string, Metadata<"targets">>;
  };
}

/**
 * Reads a repository of a ceremony's folder.
 * @throws CeremonyError CEREMONY_MISSING, CEREMONY_FILE_INVALID; UptaneError UPTANE_METADATA_*
 */
export async function readRepository(dir: string, name: RepositoryName): Promise<Repository> {
  const folder = join(dir, name);
  const repository = await readFolder(folder, name);
  if (repository.roots.length === 0 && repository.drafts.root === undefined) {
    const what = `${folder} has no root; \`latticeway trust init\` makes one`;
    throw new CeremonyError("CEREMONY_MISSING", what);
  }
  return repository;
}

/** The root that is worked on, or else the newest one. */
export function currentRoot({ roots, drafts }: Repository): Metadata<"root"> {
  const root = drafts.root ?? roots.at(-1);
  if (root === undefined) throw new CeremonyError("CEREMONY_MISSING", "there is no root");
  return root;
}

/** The targets of a role that are worked on, or else the newest ones. */
export function currentTargets(
  { targets, drafts }: Repository,
  roleName: string,
): Metadata<"targets"> | undefined {
  return drafts.targets.get(roleName) ?? targets.get(roleName);
}

/** A draft is changed under its version; what is signed gets the next one. */
export function nextVersion({ roots, targets }: Repository, roleName: string): number {
  const signed = roleName === "root" ? roots.at(-1) : targets.get(roleName);
  return (signed?.signed.version ?? 0) + 1;
}

/** Writes an unsigned draft, in the place of an earlier one of the role. @returns its file */
export async function writeDraft(
  folder: string,
  roleName: string,
  signed: { version: number },
): Promise<string> {
  const file = join(folder, DRAFT, metadataFileName(roleName, signed.version));
  const bytes = await signMetadata(signed, []);
  const most = MAX_METADATA_BYTES[roleName === "root" ? "root" : "targets"] - SIGNATURES_BYTES;
  if (bytes.length > most) {
    const what = `${roleName} would have ${bytes.length} bytes, ${most} are left beside signatures`;
    throw new CeremonyError("CEREMONY_FILE_TOO_LARGE", what);
  }
  await writeWhole(file, bytes);
  return file;
}

/** Sixteen holders' ECDSA and ML-DSA-65 signatures. */
const SIGNATURES_BYTES = 128 * 1024;

/** What is signed by all moves out of `draft/`. @returns where it is now */
export async function finishDraft(file: string, bytes: Uint8Array): Promise<string> {
  const folder = dirname(file);
  if (basename(folder) !== DRAFT) return file;
  const finished = join(dirname(folder), basename(file));
  await writeWhole(finished, bytes);
  await rm(file);
  return finished;
}

/** The repository's folder of a file in it or among its drafts. */
export function folderOf(file: string): string {
  const folder = dirname(file);
  return basename(folder) === DRAFT ? dirname(folder) : folder;
}

/** Drafts, by file. */
export function draftFiles({ folder, drafts }: Repository): string[] {
  const root = drafts.root && metadataFileName("root", drafts.root.signed.version);
  const targets = [...drafts.targets].map(([roleName, { signed }]) =>
    metadataFileName(roleName, signed.version),
  );
  return [...(root === undefined ? [] : [root]), ...targets].map((name) =>
    join(folder, DRAFT, name),
  );
}

export function metadataFileName(roleName: string, version: number): string {
  return `${version}.${fileName(roleName)}.json`;
}

/** Writes a file whole or not at all; folders are made. */
export async function writeWhole(file: string, content: Uint8Array | string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${randomUUID()}.new`;
  try {
    await using handle = await open(temporary, "wx");
    await handle.writeFile(content);
    await handle.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, file);
}

const DRAFT = "draft";

/** Reads a repository's folder, which may have no root. */
export async function readFolder(folder: string, name: RepositoryName): Promise<Repository> {
  const signed = await readFiles(folder);
  const drafts = await readFiles(join(folder, DRAFT));
  const roots = signed.roots.sort((a, b) => a.signed.version - b.signed.version);
  // One that is there signed as well was left by a run that was cut off.
  const isOpen = (
    draft: Metadata<"root" | "targets">,
    before: Metadata<"root" | "targets"> | undefined,
  ) => draft.signed.version > (before?.signed.version ?? 0);
  return {
    name,
    folder,
    roots,
    targets: signed.targets,
    drafts: {
      root: drafts.roots.find((root) => isOpen(root, roots.at(-1))),
      targets: new Map(
        [...drafts.targets].filter(([roleName, draft]) =>
          isOpen(draft, signed.targets.get(roleName)),
        ),
      ),
    },
  };
}

interface Files {
  roots: Metadata<"root">[];
  targets: Map<string, Metadata<"targets">>;
}

async function readFiles(folder: string): Promise<Files> {
  const files: Files = { roots: [], targets: new Map() };
  for (const name of await namesIn(folder)) {
    const { roleName, version } = readFileName(name) ?? {};
    if (roleName === undefined || roleName === "snapshot") continue;
    const file = join(folder, name);
    const role = roleName === "root" ? "root" : "targets";
    const metadata = parseMetadata(
      role,
      await readBounded(file, MAX_METADATA_BYTES[role]),
      roleName,
    );
    if (metadata.signed.version !== version) {
      const what = `${file} holds version ${metadata.signed.version}`;
      throw new CeremonyError("CEREMONY_FILE_INVALID", what);
    }
    if (role === "root") files.roots.push(metadata);
    else if (version > (files.targets.get(roleName)?.signed.version ?? 0)) {
      files.targets.set(roleName, metadata);
    }
  }
  return files;
}

/** `2.root.json`; undefined for what is no metadata file. */
export function readFileName(name: string): { roleName: string; version: number } | undefined {
  const [, version, encoded] = /^([1-9]\d{0,15})\.(.+)\.json$/.exec(name) ?? [];
  if (version === undefined || encoded === undefined) return undefined;
  try {
    return { roleName: decodeURIComponent(encoded), version: Number(version) };
  } catch {
    return undefined;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** @throws CeremonyError CEREMONY_FILE_INVALID when it is longer than it may be */
export async function readBounded(file: string, maxBytes: number): Promise<Buffer> {
  await using handle = await open(file);
  const { size } = await handle.stat();
  if (size > maxBytes) {
    throw new CeremonyError("CEREMONY_FILE_INVALID", `${file} has more than ${maxBytes} bytes`);
  }
  return handle.readFile();
}
