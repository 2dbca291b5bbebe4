import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { decompressImage } from "#protocol/package/image.ts";
import { packageId } from "#protocol/package/manifest.ts";
import { PackageError } from "#protocol/package/package-error.ts";
import { imageHeader } from "#protocol/package/layout.ts";
import { openPackage, type PackageEntry } from "#protocol/package/reader.ts";
import { END_OF_ARCHIVE, fileHeader, padding } from "#protocol/package/tar-header.ts";
import { chunked, collect, imageBytes, SAMPLE_ECUS, samplePackage, type Sample } from "./sample.ts";

let sample: Sample;
beforeAll(async () => {
  sample = await samplePackage();
});

const ignore = async () => {};

/** Reads a whole package and returns its error code, or `accepted`. */
async function codeOf(
  bytes: Uint8Array,
  visit: (entry: PackageEntry) => Promise<unknown> = ignore,
  { keys = sample.keys, threshold = 1 } = {},
): Promise<string> {
  try {
    const { entries } = await openPackage(chunked(bytes), { keys, threshold });
    for await (const entry of entries) await visit(entry);
  } catch (error) {
    if (error instanceof PackageError) return error.code;
    throw error;
  }
  return "accepted";
}

/** Header, content and padding of each image, in order. */
function imageParts(): Buffer[] {
  return sample.layout.manifest.zones.flatMap((zone) =>
    zone.ecus.map((ecu) =>
      Buffer.concat([fileHeader(ecu.path, ecu.length), blob(ecu.sha256), padding(ecu.length)]),
    ),
  );
}

function blob(sha256: string): Buffer {
  const bytes = sample.blobs.get(sha256);
  if (bytes === undefined) throw new Error(`no blob ${sha256}`);
  return bytes;
}

const metadataLength = () => sample.layout.zones[0]?.offset ?? 0;

/** The sample's two metadata files with other things behind them. */
function rebuilt(parts: readonly Buffer[], end: Buffer = END_OF_ARCHIVE): Buffer {
  return Buffer.concat([sample.bytes.subarray(0, metadataLength()), ...parts, end]);
}

function firstParts(): [Buffer, Buffer, Buffer] {
  const parts = imageParts();
  if (parts.length !== 3) throw new Error("the sample has three images");
  return parts as [Buffer, Buffer, Buffer];
}

/** Paths of about 150 characters. */
function longSample(): Promise<Sample> {
  return samplePackage(
    SAMPLE_ECUS.map((ecu, index) => ({
      ...ecu,
      zone_id: "Z".repeat(64),
      ecu_id: `${index}${"E".repeat(20 + index * 20)}`,
      version: `1.0.0-${"v".repeat(50)}`,
    })),
  );
}

describe("a package", () => {
  test.each([1, 511, 512, 513, 65_536])("is read in chunks of %d bytes", async (size) => {
    const opened = await openPackage(chunked(sample.bytes, size), { keys: sample.keys });
    expect(opened.packageId).toBe(packageId(sample.manifest));
    const read: [string, string][] = [];
    for await (const { zone_id, ecu, content } of opened.entries) {
      const image = await collect(decompressImage(content, ecu.image));
      expect(image.equals(sample.images.get(ecu.ecu_id) ?? Buffer.alloc(0))).toBe(true);
      read.push([zone_id, ecu.ecu_id]);
    }
    expect(read).toEqual([
      ["ZG-FRONT", "ECU_001"],
      ["ZG-FRONT", "ECU_002"],
      ["ZG-REAR", "ECU_003"],
    ]);
  });

  test("with names that need a prefix and a pax record is read too", async () => {
    const long = await longSample();
    const { entries } = await openPackage(chunked(long.bytes), { keys: long.keys });
    let count = 0;
    for await (const _entry of entries) count += 1;
    expect(count).toBe(3);
  });

  test("is checked to its end, also where the caller reads nothing or gives up early", async () => {
    const damaged = Buffer.from(sample.bytes);
    const first = metadataLength() + 512;
    damaged[first + 100] = (damaged[first + 100] ?? 0) ^ 1;
    const giveUp = async ({ content }: PackageEntry) => {
      for await (const _chunk of content) break;
    };
    const swallow = async ({ content }: PackageEntry) => {
      await collect(content).catch(() => {});
    };
    const abandon = async ({ content, ecu }: PackageEntry) => {
      for await (const _chunk of decompressImage(content, { ...ecu.image, length: 1 })) break;
    };
    const swallowAbandon = (entry: PackageEntry) => abandon(entry).catch(() => {});
    for (const visit of [ignore, giveUp, swallow, swallowAbandon]) {
      expect(await codeOf(sample.bytes, visit)).toBe("accepted");
      expect(await codeOf(damaged, visit)).toBe("PACKAGE_ENTRY_HASH");
    }
  });

  test("ends its stream when it is refused, and when the caller stops", async () => {
    let closed = 0;
    async function* watched(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
      try {
        yield* chunked(bytes);
      } finally {
        closed += 1;
      }
    }
    await expect(openPackage(watched(Buffer.alloc(5000)), { keys: sample.keys })).rejects.toThrow(
      PackageError,
    );
    expect(closed).toBe(1);
    const { entries } = await openPackage(watched(sample.bytes), { keys: sample.keys });
    for await (const _entry of entries) break;
    expect(closed).toBe(2);
  });

  test("holds back every image until its signatures are verified", async () => {
    let pulled = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunked(sample.bytes, 512)) {
        pulled += chunk.length;
        yield chunk;
      }
    }
    const strangers = new Map();
    await expect(openPackage(counted(), { keys: strangers })).rejects.toMatchObject({
      code: "PACKAGE_SIGNATURE_MISSING",
    });
    expect(pulled).toBe(metadataLength());
  });
});

describe("a package is refused", () => {
  test("cut anywhere", async () => {
    const cuts = new Set([0, 1, 511, 512, 513, sample.bytes.length - 1]);
    for (let at = 0; at < sample.bytes.length; at += 173) cuts.add(at);
    for (let at = metadataLength(); at < sample.bytes.length; at += 512) cuts.add(at);
    for (const at of cuts) {
      expect([at, await codeOf(sample.bytes.subarray(0, at))]).toEqual([at, "PACKAGE_TRUNCATED"]);
    }
  });

  test("with any one byte changed", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(sample.bytes.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const wrong = Buffer.from(sample.bytes);
          wrong[at] = (wrong[at] ?? 0) ^ flip;
          expect(await codeOf(wrong)).toMatch(/^PACKAGE_/);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("of any noise", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (noise) => {
        expect(await codeOf(noise)).toMatch(/^PACKAGE_(TRUNCATED|HEADER_INVALID|ENTRY_MISSING)$/);
      }),
    );
  });

  test("with bytes behind its end, zero or not", async () => {
    expect(await codeOf(rebuilt(imageParts()))).toBe("accepted");
    for (const tail of [Buffer.from("x"), Buffer.alloc(512), sample.bytes]) {
      expect(await codeOf(Buffer.concat([sample.bytes, tail]))).toBe("PACKAGE_TRAILING_BYTES");
    }
  });

  test("with something in its padding", async () => {
    const parts = firstParts();
    parts[0][parts[0].length - 1] = 1;
    expect(await codeOf(rebuilt(parts))).toBe("PACKAGE_PADDING");
  });

  test("with its files in another order, twice, missing or too many", async () => {
    const [a, b, c] = firstParts();
    const more = Buffer.concat([fileHeader("zones/Z/E-1.bin.zst", 0)]);
    expect(await codeOf(rebuilt([b, a, c]))).toBe("PACKAGE_ENTRY_ORDER");
    expect(await codeOf(rebuilt([a, a, b, c]))).toBe("PACKAGE_ENTRY_DUPLICATE");
    expect(await codeOf(rebuilt([a, b, c, c]))).toBe("PACKAGE_ENTRY_DUPLICATE");
    expect(await codeOf(rebuilt([a, b]))).toBe("PACKAGE_ENTRY_MISSING");
    expect(await codeOf(rebuilt([a, more, b, c]))).toBe("PACKAGE_ENTRY_UNKNOWN");
    expect(await codeOf(rebuilt([a, b, c, more]))).toBe("PACKAGE_ENTRY_UNKNOWN");
  });

  test.each(["/etc/passwd", "../up", "zones/../../up", "zones\\up"])(
    "with a file at %s",
    async (path) => {
      const [a, b, c] = firstParts();
      const unsafe = fileHeader(path, 0);
      expect(await codeOf(rebuilt([unsafe, a, b, c]))).toBe("PACKAGE_PATH_UNSAFE");
      expect(await codeOf(rebuilt([a, b, c, unsafe]))).toBe("PACKAGE_PATH_UNSAFE");
    },
  );

  test("with a file of another length or content than signed", async () => {
    const [a, b, c] = firstParts();
    const [ecu] = sample.layout.manifest.zones[0]?.ecus ?? [];
    if (ecu === undefined) throw new Error("the sample has an ECU");
    const longer = Buffer.concat([fileHeader(ecu.path, ecu.length + 1), a.subarray(512)]);
    expect(await codeOf(rebuilt([longer, b, c]))).toBe("PACKAGE_ENTRY_SIZE");
    const other = imageBytes(ecu.length, "other");
    const swapped = Buffer.concat([fileHeader(ecu.path, ecu.length), other, padding(ecu.length)]);
    expect(await codeOf(rebuilt([swapped, b, c]))).toBe("PACKAGE_ENTRY_HASH");
  });

  test("with a header that is right but not ours: a link, a date, an owner", async () => {
    const [a, b, c] = firstParts();
    for (const [at, byte] of [
      [156, "1"],
      [156, "5"],
      [146, "1"],
      [114, "7"],
    ] as const) {
      const header = withChecksum(a.subarray(0, 512), at, byte);
      const changed = Buffer.concat([header, a.subarray(512)]);
      expect(await codeOf(rebuilt([changed, b, c]))).toBe("PACKAGE_HEADER_INVALID");
      const manifest = withChecksum(sample.bytes.subarray(0, 512), at, byte);
      const first = Buffer.concat([manifest, sample.bytes.subarray(512)]);
      expect(await codeOf(first)).toBe("PACKAGE_HEADER_INVALID");
    }
  });

  test("with another byte in any block of a header of several", async () => {
    const long = await longSample();
    const headers = long.layout.manifest.zones.flatMap(({ ecus }) => ecus.map(imageHeader));
    const header = headers.find(({ length }) => length > 512);
    if (header === undefined) throw new Error("a path of the sample needs a pax record");
    const start = long.bytes.indexOf(header);
    for (let at = start; at < start + header.length; at += 512) {
      const wrong = Buffer.from(long.bytes);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      expect(await codeOf(wrong, ignore, long)).toBe("PACKAGE_HEADER_INVALID");
    }
    expect(await codeOf(long.bytes, ignore, long)).toBe("accepted");
  });

  test("signed by fewer than are demanded", async () => {
    expect(await codeOf(sample.bytes, ignore, { threshold: 2 })).toBe("PACKAGE_UNDER_SIGNED");
  });

  test("with metadata files that are huge, empty, misnamed or swapped", async () => {
    const with_ = (name: string, length: number) =>
      codeOf(Buffer.concat([fileHeader(name, length), Buffer.alloc(4096)]));
    expect(await with_("manifest.json", 1024 * 1024 + 1)).toBe("PACKAGE_ENTRY_SIZE");
    expect(await with_("manifest.json", 0)).toBe("PACKAGE_ENTRY_SIZE");
    expect(await with_("manifest.txt", 10)).toBe("PACKAGE_ENTRY_UNKNOWN");
    expect(await with_("manifest.sigs.json", 10)).toBe("PACKAGE_ENTRY_UNKNOWN");
    expect(await with_("../manifest.json", 10)).toBe("PACKAGE_PATH_UNSAFE");
    expect(await codeOf(Buffer.alloc(4096))).toBe("PACKAGE_ENTRY_MISSING");
  });
});

/** A header with one character changed and the checksum made right again. */
function withChecksum(header: Buffer, at: number, character: string): Buffer {
  const changed = Buffer.from(header);
  changed.write(character, at, "latin1");
  changed.fill(" ", 148, 156);
  const sum = changed.reduce((total, byte) => total + byte, 0);
  changed.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return changed;
}
