import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { BlobAddress, BlobStore, OpenBlob, StagedBlob } from "./blob-store.ts";
import { corrupt, createBlobChecks, fileState, found, type BlobChecks } from "./checks.ts";

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

  return {
    stage: () => stageBlob(staging, pathOf, checks),
    async verify({ sha256, length }) {
      const stats = await found(sha256, stat(pathOf(sha256), { bigint: true }));
      if (stats.size !== BigInt(length)) throw corrupt(sha256);
      await checks.ensureGood(sha256, fileState(stats));
    },
    open: (sha256) => openBlob(pathOf(sha256), sha256, checks),
  };
}

async function openBlob(path: string, sha256: string, checks: BlobChecks): Promise<OpenBlob> {
  const file = await found(sha256, open(path, "r"));
  const stateNow = async () => fileState(await file.stat({ bigint: true }));
  try {
    // The very file that will be read: its name may have passed to another one since a check.
    const opened = await stateNow();
    await checks.ensureGood(sha256, opened);
    return {
      read: async (into, position) => (await file.read(into, 0, into.length, position)).bytesRead,
      async assertUnchanged() {
        if ((await stateNow()) !== opened) throw corrupt(sha256);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function stageBlob(
  staging: string,
  pathOf: (sha256: string) => string,
  checks: BlobChecks,
): Promise<StagedBlob> {
  const temporary = join(staging, `${process.pid}-${randomUUID()}`);
  const file = await open(temporary, "wx", 0o600);
  const hash = createHash("sha256");
  let length = 0;
  let finished = false;
  return {
    async write(chunk) {
      hash.update(chunk);
      length += chunk.length;
      await file.writeFile(chunk);
    },
    async commit() {
      const sha256 = hash.digest("hex");
      await file.sync();
      await file.close();
      const path = pathOf(sha256);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(temporary, path);
      await syncFolder(dirname(path));
      finished = true;
      // What was just hashed and written need not be read again before it is first sent.
      checks.remember(sha256, fileState(await stat(path, { bigint: true })));
      return { sha256, length } satisfies BlobAddress;
    },
    async discard() {
      if (finished) return;
      finished = true;
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true });
    },
  };
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
