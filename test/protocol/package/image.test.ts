import { zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decompressImage } from "#protocol/package/image.ts";
import { PackageError } from "#protocol/package/package-error.ts";
import { chunked, collect, imageBytes, sha256 } from "./sample.ts";

const image = imageBytes(9_000, "image");
const expected = { length: image.length, sha256: sha256(image) };
const file = zstdCompressSync(image);

async function codeOf(content: AsyncIterable<Uint8Array>, wanted = expected): Promise<string> {
  try {
    await collect(decompressImage(content, wanted));
  } catch (error) {
    if (error instanceof PackageError) return error.code;
    throw error;
  }
  return "decompressed";
}

describe("an image", () => {
  test("comes out as it went in, however it is cut", async () => {
    for (const size of [7, 4096, file.length]) {
      const out = await collect(decompressImage(chunked(file, size), expected));
      expect(out.equals(image)).toBe(true);
    }
  });

  test.each([1, 1000, 1_000_000])("may be several frames, in chunks of %d", async (size) => {
    const frames = Buffer.concat(
      [0, 3000, 6000].map((at) => zstdCompressSync(image.subarray(at, at + 3000))),
    );
    const out = await collect(decompressImage(chunked(frames, size), expected));
    expect(out.equals(image)).toBe(true);
  });

  test("that expands beyond its length is cut off at once", async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    let passed = 0;
    const read = async () => {
      for await (const chunk of decompressImage(chunked(bomb), { ...expected, length: 100_000 })) {
        passed += chunk.length;
      }
    };
    await expect(read()).rejects.toMatchObject({ code: "PACKAGE_IMAGE_LENGTH" });
    expect(passed).toBeLessThanOrEqual(100_000);
  });

  test("is refused when it is shorter, other, damaged or cut", async () => {
    const longer = { ...expected, length: image.length + 1 };
    expect(await codeOf(chunked(file), longer)).toBe("PACKAGE_IMAGE_LENGTH");
    const other = { ...expected, sha256: sha256(Buffer.from("other")) };
    expect(await codeOf(chunked(file), other)).toBe("PACKAGE_IMAGE_HASH");
    expect(await codeOf(chunked(Buffer.from("no zstd at all")))).toBe("PACKAGE_IMAGE_CORRUPT");
    expect(await codeOf(chunked(Buffer.alloc(0)))).toBe("PACKAGE_IMAGE_CORRUPT");
    for (const length of [1, 5, 1000, file.length - 1]) {
      expect(await codeOf(chunked(file.subarray(0, length)))).toBe("PACKAGE_IMAGE_CORRUPT");
    }
  });

  test("that asks for a window beyond 128 MiB is refused", async () => {
    // RFC 8878 §3.1.1: magic, a descriptor without single segment, window descriptor
    // (28 - 10) << 3, then an empty last block.
    const frame = (log: number) =>
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3, 1, 0, 0]);
    const empty = { length: 0, sha256: sha256(Buffer.alloc(0)) };
    expect(await codeOf(chunked(frame(27)), empty)).toBe("decompressed");
    expect(await codeOf(chunked(frame(28)), empty)).toBe("PACKAGE_IMAGE_CORRUPT");
  });

  test("passes on what its content throws", async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* chunked(file.subarray(0, 1000));
      throw new PackageError("PACKAGE_ENTRY_HASH", "as the reader says");
    }
    expect(await codeOf(failing())).toBe("PACKAGE_ENTRY_HASH");
  });
});
