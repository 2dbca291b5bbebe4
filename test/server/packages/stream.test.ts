import { randomBytes } from "node:crypto";
import { truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { PackageLayout, Segment } from "#protocol/package/layout.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { packageBytes } from "#server/packages/stream.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { changeByte } from "#test/server/blobs/change-byte.ts";
import { openFilesIn } from "#test/server/blobs/open-files.ts";
import { putBlob } from "#test/server/blobs/put-blob.ts";

/** Longer than two chunks, so that the buffers take turns. */
const BLOB_LENGTH = 1_300_000;

interface Sample {
  folder: string;
  blobs: BlobStore;
  layout: PackageLayout;
  whole: Buffer;
  /** Of the first blob. */
  path: string;
}

/** Bytes, a blob, bytes, another blob, bytes: as in a package, but none of the tar around it. */
async function sample(): Promise<Sample> {
  const folder = testFolder();
  const blobs = await openDiskStore(folder);
  const parts = [100, BLOB_LENGTH, 1500, 700_001, 1024].map((length) => randomBytes(length));
  const segments: Segment[] = [];
  let path = "";
  for (const [index, bytes] of parts.entries()) {
    if (index % 2 === 0) {
      segments.push({ kind: "bytes", bytes });
      continue;
    }
    const { sha256, length } = await putBlob(blobs, bytes);
    path ||= join(folder, sha256.slice(0, 2), sha256.slice(2));
    segments.push({ kind: "blob", sha256, offset: 0, length });
  }
  const whole = Buffer.concat(parts);
  const layout = { manifest: { zones: [] }, segments, length: whole.length, zones: [] };
  return { folder, blobs, layout: layout as unknown as PackageLayout, whole, path };
}

/** Copies each chunk in its turn: it is valid no longer. */
async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const chunk of chunks) copies.push(Buffer.from(chunk));
  return Buffer.concat(copies);
}

const corrupt = expect.objectContaining({ code: "BLOB_CORRUPT" }) as Error;

describe("the bytes of a package", () => {
  it("are its segments one after the other, from any byte to any other", async () => {
    const { blobs, layout, whole } = await sample();
    const ends = [0, 1, 99, 100, 101, 524_288, BLOB_LENGTH + 100, BLOB_LENGTH + 1601, whole.length];
    for (const start of ends) {
      for (const end of ends.filter((each) => each >= start)) {
        const part = await gather(packageBytes(layout, blobs, { start, end }));
        expect(part.equals(whole.subarray(start, end)), `${start} to ${end}`).toBe(true);
      }
    }
  });

  it("stay as they are in a chunk until the next one is asked for", async () => {
    const { blobs, layout, whole } = await sample();
    let at = 0;
    for await (const chunk of packageBytes(layout, blobs, { start: 0, end: whole.length })) {
      // Time for the read ahead, which must go into the other buffer.
      for (let turn = 0; turn < 20; turn++) await new Promise((next) => setImmediate(next));
      expect(whole.subarray(at, at + chunk.length).equals(chunk), `at ${at}`).toBe(true);
      at += chunk.length;
    }
    expect(at).toBe(whole.length);
  });

  it("don't begin when a blob has changed since it was checked", async () => {
    const { blobs, layout, whole, path } = await sample();
    changeByte(path, 0);
    const range = { start: 0, end: whole.length };
    await expect(gather(packageBytes(layout, blobs, range))).rejects.toThrow(corrupt);
  });

  it.each([
    ["behind what was read of it", 0],
    ["ahead of what was read of it", BLOB_LENGTH - 1],
  ])("end with an error, short of a blob's end, when it changes %s", async (_, position) => {
    for (const end of [BLOB_LENGTH / 2, BLOB_LENGTH + 100, BLOB_LENGTH + 101, 2_000_000]) {
      const { blobs, layout, path } = await sample();
      const chunks = packageBytes(layout, blobs, { start: 0, end });
      let sent = (await chunks.next()).value?.length ?? 0;
      changeByte(path, position);
      const rest = async () => {
        for await (const chunk of chunks) sent += chunk.length;
      };
      await expect(rest(), `up to ${end}`).rejects.toThrow(corrupt);
      expect(sent).toBeLessThan(Math.min(end, BLOB_LENGTH + 100));
    }
  });

  it("end with an error when a blob becomes shorter", async () => {
    const { blobs, layout, whole, path } = await sample();
    const chunks = packageBytes(layout, blobs, { start: 0, end: whole.length });
    await chunks.next();
    truncateSync(path, BLOB_LENGTH - 1);
    await expect(gather(chunks)).rejects.toThrow("is shorter than its package says");
  });

  it.runIf(process.platform === "linux")("leave no file open, read or dropped", async () => {
    const { folder, blobs, layout, whole } = await sample();
    const range = { start: 0, end: whole.length };
    for await (const chunk of packageBytes(layout, blobs, range)) {
      expect(chunk.length).toBeGreaterThan(0);
      expect(openFilesIn(folder)).toHaveLength(1);
      break;
    }
    await gather(packageBytes(layout, blobs, range));
    expect(openFilesIn(folder)).toEqual([]);
  });
});
