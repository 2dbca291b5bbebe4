import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { sliceSegments } from "#protocol/package/layout.ts";
import { fileHeader, padding, readUstarBlock } from "#protocol/package/tar-header.ts";
import { concatenate, samplePackage, type Sample } from "./sample.ts";

let sample: Sample;
beforeAll(async () => {
  sample = await samplePackage();
});

describe("the layout of a package", () => {
  test("knows its length without reading a blob, and is all whole blocks", () => {
    expect(sample.layout.length).toBe(sample.bytes.length);
    expect(sample.layout.length % 512).toBe(0);
  });

  test("refers to every image once, in order, and copies none", () => {
    const blobs = sample.layout.segments.filter((segment) => segment.kind === "blob");
    const ecus = sample.layout.manifest.zones.flatMap((zone) => zone.ecus);
    expect(blobs).toEqual(
      ecus.map(({ sha256, length }) => ({ kind: "blob", sha256, offset: 0, length })),
    );
  });

  test("gives each zone one range: its headers, files and padding, nothing else", () => {
    const { zones, length } = sample.layout;
    expect(zones.map(({ zone_id }) => zone_id)).toEqual(["ZG-FRONT", "ZG-REAR"]);
    for (const [index, zone] of zones.entries()) {
      const next = zones[index + 1]?.offset ?? length - 1024;
      expect(zone.offset + zone.length).toBe(next);
      const first = sample.bytes.subarray(zone.offset, zone.offset + 512);
      expect(readUstarBlock(first)?.path).toMatch(new RegExp(`^zones/${zone.zone_id}/`));
    }
  });

  test("any slice is the same part of the file", () => {
    const { segments, length } = sample.layout;
    fc.assert(
      fc.property(fc.nat(length), fc.nat(length), (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        const slice = concatenate(sliceSegments(segments, start, end), sample.blobs);
        expect(slice.equals(sample.bytes.subarray(start, end))).toBe(true);
      }),
    );
  });

  test.each([
    [-1, 5],
    [5, 4],
    [0, Number.MAX_SAFE_INTEGER],
    [Number.NaN, 5],
  ])("refuses the slice from %d to %d", (start, end) => {
    expect(() => sliceSegments(sample.layout.segments, start, end)).toThrow(RangeError);
  });
});

describe("a tar header", () => {
  test("has the bytes that POSIX describes", () => {
    const header = fileHeader("manifest.json", 0o1234);
    const field = (offset: number, length: number) =>
      header.toString("latin1", offset, offset + length);
    expect(header).toHaveLength(512);
    expect(field(0, 14)).toBe("manifest.json\0");
    expect(field(100, 24)).toBe("0000644\x000000000\x000000000\0");
    expect(field(124, 24)).toBe("00000001234\x0000000000000\0");
    expect(field(156, 1)).toBe("0");
    expect(field(257, 8)).toBe("ustar\x0000");
    expect(field(329, 16)).toBe("0000000\x000000000\0");
    expect(field(148, 8)).toMatch(/^[0-7]{6}\0 $/);
  });

  test.each([
    ["name alone", "n".repeat(100), 512],
    ["prefix and name", `zones/${"z".repeat(64)}/${"e".repeat(90)}`, 512],
    ["prefix of 155", `${"p".repeat(155)}/${"n".repeat(100)}`, 512],
    ["a pax record", `zones/z/${"e".repeat(101)}`, 1536],
  ])("carries a long path by %s", (_name, path, length) => {
    expect(fileHeader(path, 7)).toHaveLength(length);
    const fields = readUstarBlock(fileHeader(path, 7).subarray(0, 512));
    expect(fields).toMatchObject(
      length === 512 ? { path, length: 7, type: "0" } : { path: "pax-header", type: "x" },
    );
  });

  test("a pax record counts its own digits", () => {
    for (let n = 101; n < 130; n++) {
      const path = "e".repeat(n);
      const record = fileHeader(path, 1).subarray(512, 1024).toString("latin1").replace(/\0+$/, "");
      expect(record).toBe(`${record.length} path=${path}\n`);
    }
  });

  test("reads back, and any change of it does not", () => {
    fc.assert(
      fc.property(fc.nat(511), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const header = fileHeader("zones/Z/E-1.bin.zst", 1000);
        const before = readUstarBlock(header);
        expect(before).toEqual({ path: "zones/Z/E-1.bin.zst", length: 1000, type: "0" });
        header[at] = (header[at] ?? 0) ^ flip;
        // Blanks and NULs around the checksum's digits mean nothing to a tar reader.
        const allowed = at >= 148 && at < 156 ? [undefined, before] : [undefined];
        expect(allowed).toContainEqual(readUstarBlock(header));
      }),
    );
  });

  test.each([
    [0, 0],
    [1, 511],
    [511, 1],
    [512, 0],
    [513, 511],
  ])("a file of %d bytes is followed by %d zeros", (length, zeros) => {
    expect(padding(length)).toEqual(Buffer.alloc(zeros));
  });
});
