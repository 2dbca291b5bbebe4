import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "#protocol/bytes/hex.ts";

describe("hex", () => {
  it("writes upper case, and only the bytes of the view", () => {
    expect(toHex(Uint8Array.of(0, 0x0a, 0xff))).toBe("000AFF");
    expect(toHex(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))).toBe("0203");
  });

  it.each([
    ["22F190", "22f190"],
    ["22 F1\t90", "22f190"],
    ["0x22f190", "22f190"],
    ["0X22F190 ", "22f190"],
    ["", ""],
  ])("reads %j", (text, hex) => {
    expect(fromHex(text)?.toString("hex")).toBe(hex);
  });

  it.each(["2", "22F", "GG", "22-F1", "0x", "22 0xF1", "２２"])("does not read %j", (text) => {
    expect(fromHex(text)).toEqual(text === "0x" ? Buffer.alloc(0) : undefined);
  });

  it("reads back what it writes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(fromHex(toHex(bytes))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it("never reads text that is not hex as bytes", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), (text) => {
        const digits = text
          .toLowerCase()
          .replace(/^\s*0x/, "")
          .replace(/\s/g, "");
        const isHex = /^([0-9a-f]{2})*$/.test(digits);
        expect(fromHex(text)?.toString("hex")).toBe(isHex ? digits : undefined);
      }),
    );
  });
});
