import { createHash } from "node:crypto";
import { ProblemError } from "#protocol/api/problem.ts";
import type { BlobStore, StagedBlob } from "#server/blobs/blob-store.ts";
import { compressFrames } from "./compress.ts";

/** An image that has been read, hashed and compressed, but is not yet visible to anyone. */
export interface IngestedImage {
  size: number;
  sha256: string;
  sha512: string;
  /** The compressed image, all of it written. */
  blob: StagedBlob;
}

/**
 * Reads an image of any size in one pass: its hashes while it streams, compressed on the thread pool,
 * written to the store's staging area. Memory stays flat. What fails leaves nothing behind.
 * @throws ProblemError FIRMWARE_TOO_LARGE, FIRMWARE_EMPTY, or whatever the source throws
 */
export async function ingestImage(
  source: AsyncIterable<Uint8Array>,
  blobs: BlobStore,
  { maxSize, level }: { maxSize: number; level: number },
): Promise<IngestedImage> {
  const staged = await blobs.stage();
  try {
    return await ingest(source, staged, maxSize, level);
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

async function ingest(
  source: AsyncIterable<Uint8Array>,
  staged: StagedBlob,
  maxSize: number,
  level: number,
): Promise<IngestedImage> {
  const sha256 = createHash("sha256");
  const sha512 = createHash("sha512");
  let size = 0;
  async function* hashed() {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > maxSize)
        throw new ProblemError("FIRMWARE_TOO_LARGE", `the limit is ${maxSize} bytes`);
      sha256.update(chunk);
      sha512.update(chunk);
      yield chunk;
    }
  }
  for await (const frame of compressFrames(hashed(), level)) await staged.write(frame);
  if (size === 0) throw new ProblemError("FIRMWARE_EMPTY");
  return { size, sha256: sha256.digest("hex"), sha512: sha512.digest("hex"), blob: staged };
}
