import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { ProblemError } from "#protocol/api/problem.ts";
import type { BlobAddress, BlobStore, OpenBlob, StagedBlob } from "./blob-store.ts";

const READ_SIZE = 1024 * 1024;
/** Files whose state since their last check is remembered. */
const CHECKED_LIMIT = 10_000;

/**
 * Blobs on the local disk: `{folder}/ab/cdef…`, written beside and renamed into place. Clears what
 * an earlier process left half-written.
 */
export async function openDiskStore(root: string): Promise<BlobStore> {
  const folder = resolve(root);
  const staging = join(folder, "staging");
  await mkdir(staging, { recursive: true, mode: 0o700 });
  await clearStaging(staging);
  const checked = rememberChecked();
  const pathOf = (sha256: string) => join(folder, sha256.slice(0, 2), sha256.slice(2));

  return {
    stage: () => stageBlob(staging, pathOf, checked),
    async verify({ sha256, length }) {
      const path = pathOf(sha256);
      const before = await fingerprint(path);
      if (before !== undefined && checked.is(sha256, before)) return;
      if (before === undefined || (await hashFile(path)) !== `${sha256}:${length}`) {
        throw new ProblemError("BLOB_CORRUPT", `blob ${sha256} is missing or changed`);
      }
      checked.add(sha256, before);
    },
    open: (sha256) => openBlob(pathOf(sha256)),
  };
}

/** Blobs that were found good, each with the fingerprint that its file had then. */
interface Checked {
  is(sha256: string, fingerprint: string): boolean;
  add(sha256: string, fingerprint: string): void;
}

function rememberChecked(): Checked {
  const fingerprints = new Map<string, string>();
  return {
    is: (sha256, fingerprint) => fingerprints.get(sha256) === fingerprint,
    add(sha256, fingerprint) {
      if (fingerprints.size >= CHECKED_LIMIT) fingerprints.clear();
      fingerprints.set(sha256, fingerprint);
    },
  };
}

async function openBlob(path: string): Promise<OpenBlob> {
  const file = await open(path, "r");
  return {
    read: async (into, position) => (await file.read(into, 0, into.length, position)).bytesRead,
    close: () => file.close(),
  };
}

async function stageBlob(
  staging: string,
  pathOf: (sha256: string) => string,
  checked: Checked,
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
      const written = await fingerprint(path);
      if (written !== undefined) checked.add(sha256, written);
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

/** What the kernel changes whenever a file's bytes may have changed; undefined when it is gone. */
async function fingerprint(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  let length = 0;
  await pipeline(createReadStream(path, { highWaterMark: READ_SIZE }), async (chunks) => {
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      length += chunk.length;
      hash.update(chunk);
    }
  });
  return `${hash.digest("hex")}:${length}`;
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
