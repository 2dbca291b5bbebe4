import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, unlink, type FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { BlobStore, OpenBlob, StagedBlob } from "./blob-store.ts";
import { corrupt, createBlobChecks, fileState, found, type BlobChecks } from "./checks.ts";

/** What all blobs of a store share. */
interface Disk {
  folder: string;
  staging: string;
  pathOf(sha256: string): string;
  checks: BlobChecks;
}

/**
 * Blobs on the local disk: `{folder}/ab/cdef…`, written beside and renamed into place. Clears what
 * an earlier process left half-written.
 */
export async function openDiskStore(root: string): Promise<BlobStore> {
  const folder = resolve(root);
  const staging = join(folder, "staging");
  await mkdir(staging, { recursive: true, mode: 0o700 });
  await clearStaging(staging);
  const pathOf = (sha256: string) => join(folder, sha256.slice(0, 2), sha256.slice(2));
  const checks = createBlobChecks(pathOf);
  const disk: Disk = { folder, staging, pathOf, checks };

  return {
    stage: () => stageBlob(disk),
    async verify({ sha256, length }) {
      const stats = await found(sha256, stat(pathOf(sha256), { bigint: true }));
      if (stats.size !== BigInt(length)) throw corrupt(sha256);
      await checks.ensureGood(sha256, fileState(stats));
    },
    open: (sha256) => openBlob(disk, sha256),
  };
}

async function openBlob({ pathOf, checks }: Disk, sha256: string): Promise<OpenBlob> {
  const file = await found(sha256, open(pathOf(sha256), "r"));
  try {
    // The very file that will be read: its name may have passed to another one since a check.
    const opened = await stateOf(file);
    await checks.ensureGood(sha256, opened);
    return {
      read: async (into, position) => (await file.read(into, 0, into.length, position)).bytesRead,
      async assertUnchanged() {
        if ((await stateOf(file)) !== opened) throw corrupt(sha256);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function stageBlob(disk: Disk): Promise<StagedBlob> {
  const path = join(disk.staging, `${process.pid}-${randomUUID()}`);
  const file = await open(path, "wx", 0o600);
  const hash = createHash("sha256");
  let length = 0;
  return {
    async write(chunk) {
      hash.update(chunk);
      length += chunk.length;
      await file.writeFile(chunk);
    },
    async seal() {
      const sha256 = hash.digest("hex");
      await file.sync();
      const state = await stateOf(file);
      // Not left to `publish`, which others may wait for.
      await mkdir(dirname(disk.pathOf(sha256)), { recursive: true, mode: 0o700 });
      await syncFolder(disk.folder);
      return { sha256, length, publish: () => publish(disk, sha256, { file, path, state }) };
    },
    async discard() {
      // Neither is there any more once it is published.
      await file.close().catch(() => undefined);
      await rm(path, { force: true });
    },
  };
}

interface SealedFile {
  file: FileHandle;
  path: string;
  state: string;
}

async function publish(
  { pathOf, checks }: Disk,
  sha256: string,
  sealed: SealedFile,
): Promise<void> {
  if ((await stateOf(sealed.file)) !== sealed.state) throw corrupt(sha256);
  const path = pathOf(sha256);
  const present = await stat(path, { bigint: true, throwIfNoEntry: false });
  if (present !== undefined && checks.isGood(sha256, fileState(present))) {
    // Not replaced: to those who are reading it, its file would have changed.
    await unlink(sealed.path);
  } else {
    await rename(sealed.path, path);
    // What was just hashed and written need not be read again before it is first sent.
    checks.remember(sha256, await stateOf(sealed.file));
  }
  await sealed.file.close();
  await syncFolder(dirname(path));
}

async function stateOf(file: FileHandle): Promise<string> {
  return fileState(await file.stat({ bigint: true }));
}

/** A rename is durable only when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function clearStaging(staging: string): Promise<void> {
  for (const name of await readdir(staging)) {
    const pid = Number(name.split("-")[0]);
    if (pid === process.pid || !isAlive(pid)) await unlink(join(staging, name));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
