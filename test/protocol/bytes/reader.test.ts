import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteError, ByteReader } from "#protocol/bytes/reader.ts";
import { byteWriter } from "#protocol/bytes/writer.ts";

const errorOf = (work: () => unknown): ByteError => {
  try {
    work();
  } catch (error) {
    if (error instanceof ByteError) return error;
    throw error;
  }
  throw new Error("was read all the same");
};

describe("ByteReader", () => {
  const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0x41, 0xe9);

  it("reads big-endian fields one after the other", () => {
    const reader = new ByteReader(bytes);
    expect([reader.u8("a"), reader.u16("b"), reader.u24("c"), reader.u32("d")]).toEqual([
      0x01, 0x0203, 0x040506, 0x0708090a,
    ]);
    expect(reader.ascii("e", 2)).toBe("Aé");
    expect(reader.remaining).toBe(0);
    expect(() => reader.end("message")).not.toThrow();
  });

  it("reads only its own view of a larger buffer", () => {
    const reader = new ByteReader(bytes.subarray(2, 4));
    expect(reader.u16("a")).toBe(0x0304);
    expect(errorOf(() => reader.u8("b"))).toMatchObject({ code: "BYTES_TRUNCATED", field: "b" });
  });

  it("names the field that is missing, at every length, and takes nothing for it", () => {
    const fields = { u8: 1, u16: 2, u24: 3, u32: 4 } as const;
    for (const [kind, length] of Object.entries(fields) as [keyof typeof fields, number][]) {
      for (let have = 0; have < length; have++) {
        const reader = new ByteReader(bytes.subarray(0, have));
        const error = errorOf(() => reader[kind](`field ${kind}`));
        expect(error).toMatchObject({ code: "BYTES_TRUNCATED", field: `field ${kind}` });
        expect(reader.remaining).toBe(have);
      }
    }
  });

  it("refuses a length that is negative or beyond the end", () => {
    const reader = new ByteReader(bytes);
    for (const length of [-1, bytes.length + 1, 2 ** 32, Infinity]) {
      expect(errorOf(() => reader.bytes("data", length)).code).toBe("BYTES_TRUNCATED");
    }
    expect(reader.remaining).toBe(bytes.length);
  });

  it("bounds a child to its bytes, and goes on behind it", () => {
    const reader = new ByteReader(bytes);
    const child = reader.child("part", 2);
    expect(child.rest()).toEqual(Uint8Array.of(1, 2));
    expect(errorOf(() => child.u8("more")).code).toBe("BYTES_TRUNCATED");
    expect(reader.u8("next")).toBe(3);
  });

  it("refuses bytes that no field claimed", () => {
    const reader = new ByteReader(bytes);
    expect(errorOf(() => reader.end("message"))).toMatchObject({
      code: "BYTES_TRAILING",
      field: "message",
    });
  });

  it("reads back what the writer wrote", () => {
    const field = fc
      .integer({ min: 1, max: 6 })
      .chain((length) =>
        fc.tuple(fc.constant(length), fc.integer({ min: 0, max: 256 ** length - 1 })),
      );
    fc.assert(
      fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
        const writer = byteWriter();
        for (const [length, value] of fields) writer.uint(value, length);
        const reader = new ByteReader(writer.done());
        for (const [length, value] of fields) expect(reader.uint("field", length)).toBe(value);
        reader.end("all");
      }),
    );
  });
});

describe("byteWriter", () => {
  it("writes big-endian and chains", () => {
    const bytes = byteWriter().u8(1).u16(0x0203).u32(0x04050607).bytes(Uint8Array.of(8)).done();
    expect(bytes.toString("hex")).toBe("0102030405060708");
  });

  it("refuses a value that does not fit its field", () => {
    for (const write of [
      () => byteWriter().u8(256),
      () => byteWriter().u8(-1),
      () => byteWriter().u16(0x10000),
      () => byteWriter().u32(2 ** 32),
    ]) {
      expect(write).toThrow(RangeError);
    }
  });
});
