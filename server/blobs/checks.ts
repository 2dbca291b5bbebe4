import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { ProblemError } from "#protocol/api/problem.ts";

const READ_SIZE = 1024 * 1024;
/** Files whose state when they were found good is remembered. */
const REMEMBERED_LIMIT = 10_000;

/** Which blobs were found good, and what their files looked like then. */
export interface BlobChecks {
  /** Whether this is the state in which the blob was last found good. */
  isGood(sha256: string, state: string): boolean;
  /** Takes the blob for good for as long as its file stays in this state. */
  remember(sha256: string, state: string): void;
  /**
   * Makes sure that the file which is in this state holds the blob. Hashes it unless it was found
   * good before, once however many ask at the same time.
   * @throws ProblemError BLOB_CORRUPT
   */
  ensureGood(sha256: string, state: string): Promise<void>;
}

export function createBlobChecks(pathOf: (sha256: string) => string): BlobChecks {
  const good = new Map<string, string>();
  const underWay = new Map<string, Promise<string>>();

  const isGood = (sha256: string, state: string) => good.get(sha256) === state;
  function remember(sha256: string, state: string): void {
    // What is forgotten is hashed once more.
    if (good.size >= REMEMBERED_LIMIT) good.clear();
    good.set(sha256, state);
  }
  async function check(sha256: string): Promise<string> {
    const state = await checkFile(pathOf(sha256), sha256);
    remember(sha256, state);
    return state;
  }
  return {
    isGood,
    remember,
    async ensureGood(sha256, state) {
      if (isGood(sha256, state)) return;
      const running = underWay.get(sha256) ?? check(sha256).finally(() => underWay.delete(sha256));
      underWay.set(sha256, running);
      if ((await running) !== state) throw corrupt(sha256);
    },
  };
}

/** A file's state: what the kernel changes whenever its bytes may have changed. */
export function fileState({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}

export function corrupt(sha256: string): ProblemError {
  return new ProblemError("BLOB_CORRUPT", `blob ${sha256} is missing or changed`);
}

/** What looking for a blob's file came to. @throws ProblemError BLOB_CORRUPT when there is none */
export async function found<Found>(sha256: string, looking: Promise<Found>): Promise<Found> {
  try {
    return await looking;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw corrupt(sha256);
    throw error;
  }
}

/** @returns the state that the file was in while it was read from end to end */
async function checkFile(path: string, sha256: string): Promise<string> {
  await using file = await found(sha256, open(path, "r"));
  const before = fileState(await file.stat({ bigint: true }));
  const hash = await hashFile(file);
  const after = fileState(await file.stat({ bigint: true }));
  // The hash says nothing of bytes that were changed after they were read.
  if (hash !== sha256 || after !== before) throw corrupt(sha256);
  return before;
}

async function hashFile(file: FileHandle): Promise<string> {
  const hash = createHash("sha256");
  const chunks = file.createReadStream({ highWaterMark: READ_SIZE, autoClose: false });
  for await (const chunk of chunks as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest("hex");
}
