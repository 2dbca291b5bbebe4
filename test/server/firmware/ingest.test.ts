import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { compressFrames } from "#server/firmware/compress.ts";
import { ingestImage } from "#server/firmware/ingest.ts";
import { testFolder } from "#test/helpers/folder.ts";

const MIB = 1024 * 1024;

async function* chunked(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return parts;
}

describe("compressFrames", () => {
  it.each([
    [0, 0],
    [1, 1],
    [4 * MIB - 1, 1],
    [4 * MIB, 1],
    [4 * MIB + 1, 2],
    [21 * MIB, 6],
  ])(
    "%i bytes become %i frames that decompress to them, each by itself",
    async (length, frames) => {
      const bytes = Buffer.concat([
        randomBytes(Math.min(length, 5 * MIB)),
        Buffer.alloc(length),
      ]).subarray(0, length);
      const parts = await collect(compressFrames(chunked(bytes, 100_003), 3));
      expect(parts).toHaveLength(frames);
      const each = parts.map((part) => zstdDecompressSync(part));
      expect(Buffer.concat(each).equals(bytes)).toBe(true);
      const whole = parts.length === 0 ? Buffer.alloc(0) : zstdDecompressSync(Buffer.concat(parts));
      expect(whole.equals(bytes)).toBe(true);
    },
  );

  it("gives the same bytes however the stream is cut into chunks", async () => {
    const bytes = randomBytes(9 * MIB);
    const hashOf = async (size: number) =>
      createHash("sha256")
        .update(Buffer.concat(await collect(compressFrames(chunked(bytes, size), 3))))
        .digest("hex");
    const hashes = await Promise.all([65_536, 4 * MIB, 9 * MIB, 1_000_003].map(hashOf));
    expect(new Set(hashes).size).toBe(1);
  });

  it("carries a checksum that finds a damaged frame", async () => {
    const [frame] = await collect(compressFrames(chunked(randomBytes(100_000), 65_536), 3));
    const damaged = Buffer.from(frame ?? Buffer.alloc(0));
    damaged[50_000] = (damaged[50_000] ?? 0) ^ 1;
    expect(() => zstdDecompressSync(damaged)).toThrow(/checksum|corrupt/i);
  });
});

describe("ingestImage", () => {
  it("of 300 MB keeps memory flat", async () => {
    const folder = testFolder();
    const blobs = await openDiskStore(folder);
    const chunk = randomBytes(MIB);
    const hash = createHash("sha256");
    let peak = 0;
    async function* source() {
      for (let i = 0; i < 300; i++) {
        chunk.writeUInt32BE(i);
        hash.update(chunk);
        yield Buffer.from(chunk);
        peak = Math.max(peak, process.memoryUsage.rss());
      }
    }
    const before = process.memoryUsage.rss();
    const image = await ingestImage(source(), blobs, { maxSize: 400 * MIB, level: 1 });
    expect(image.size).toBe(300 * MIB);
    expect(image.sha256).toBe(hash.digest("hex"));
    expect(peak - before).toBeLessThan(150 * MIB);
    await image.blob.discard();
    expect(readdirSync(join(folder, "staging"))).toEqual([]);
  });

  it.each(["source", "limit"])("that fails by its %s leaves nothing in the store", async (why) => {
    const folder = testFolder();
    const blobs = await openDiskStore(folder);
    async function* source() {
      yield randomBytes(9 * MIB);
      if (why === "source") throw new Error("cut");
      yield randomBytes(9 * MIB);
    }
    const ingesting = ingestImage(source(), blobs, { maxSize: 10 * MIB, level: 1 });
    await expect(ingesting).rejects.toThrow(why === "source" ? "cut" : "the limit is");
    expect(readdirSync(join(folder, "staging"))).toEqual([]);
    expect(readdirSync(folder)).toEqual(["staging"]);
  });
});
