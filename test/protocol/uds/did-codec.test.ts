import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CodecDefinition } from "#protocol/uds/definition.ts";
import { didTable, findDid } from "#protocol/uds/did.ts";
import { compileCodec, compileFields, type DidValue } from "#protocol/uds/did-codec.ts";

const hex = (text: string) => Buffer.from(text, "hex");

const temperature: CodecDefinition = { kind: "int", length: 2, scale: 0.1, unit: "°C" };
const doors: CodecDefinition = {
  kind: "bits",
  length: 2,
  bits: { 0: "front left", 1: "front right", 8: "tailgate" },
};
const block: CodecDefinition = {
  kind: "struct",
  fields: [
    { name: "state", codec: { kind: "enum", values: { 0: "off", 1: "on" } } },
    { name: "limit", codec: { kind: "uint", length: 1, scale: 0.5, offset: -40, unit: "°C" } },
    { name: "label", codec: { kind: "ascii" } },
  ],
};

const pairs: readonly (readonly [definition: CodecDefinition, bytes: string, value: DidValue])[] = [
  [{ kind: "ascii" }, "4142", "AB"],
  [{ kind: "ascii", length: 4 }, "41422020", "AB"],
  [{ kind: "uint", length: 3 }, "010000", 65_536],
  [{ kind: "uint", length: 6 }, "ffffffffffff", 281_474_976_710_655],
  [{ kind: "uint", length: 2, scale: 0.1, offset: -40 }, "019d", 1.3],
  [{ kind: "int", length: 1 }, "ff", -1],
  [temperature, "ffce", -5],
  [{ kind: "enum", values: { 3: "extended" } }, "03", "extended"],
  [{ kind: "enum", values: { 3: "extended" } }, "60", 0x60],
  [{ kind: "enum", length: 2, values: { 256: "far" } }, "0100", "far"],
  [doors, "0102", ["front right", "tailgate"]],
  [doors, "0000", []],
  [{ kind: "bcd" }, "012345", "012345"],
  [{ kind: "bcd", length: 2 }, "0042", "0042"],
  [{ kind: "date" }, "20261105", "2026-11-05"],
  [{ kind: "date", length: 3 }, "261105", "2026-11-05"],
  [{ kind: "hex" }, "c0ffee", "C0FFEE"],
  [block, "01644c46", { state: "on", limit: 10, label: "LF" }],
];

describe("codecs", () => {
  test.each(pairs)("%j: %s is %j, and back", (definition, bytes, value) => {
    const codec = compileCodec(definition);
    expect(codec.decode(hex(bytes))).toEqual(value);
    expect(Buffer.from(codec.encode(value)).toString("hex")).toBe(bytes);
  });

  test.each<[CodecDefinition, string]>([
    [{ kind: "ascii" }, "fffe"],
    [{ kind: "ascii", length: 3 }, "4142"],
    [{ kind: "uint", length: 2 }, "01"],
    [{ kind: "uint", length: 2 }, "010203"],
    [{ kind: "enum", values: { 0: "off" } }, ""],
    [doors, "01"],
    [{ kind: "bcd" }, "1a"],
    [{ kind: "date" }, "2026110f"],
    [{ kind: "date" }, "261105"],
    [{ kind: "hex", length: 2 }, "01"],
    [block, "01"],
  ])("%j has no value for %j", (definition, bytes) => {
    expect(compileCodec(definition).decode(hex(bytes))).toBeUndefined();
  });

  test.each<[CodecDefinition, DidValue]>([
    [{ kind: "ascii", length: 3 }, "four"],
    [{ kind: "ascii" }, ["AB"]],
    [{ kind: "uint", length: 1 }, 256],
    [{ kind: "uint", length: 1 }, "many"],
    [{ kind: "enum", values: { 1: "one" } }, "two"],
    [doors, "tailgate"],
    [doors, ["sunroof"]],
    [{ kind: "bcd", length: 1 }, "123"],
    [{ kind: "date" }, "05.11.2026"],
    [{ kind: "date", length: 3 }, "1999-11-05"],
    [{ kind: "hex", length: 2 }, "abc"],
    [block, "on"],
    [block, { state: "on", limit: 10 }],
  ])("%j has no bytes for %j", (definition, value) => {
    expect(() => compileCodec(definition).encode(value)).toThrow(RangeError);
  });

  test("a set bit without a name is its number", () => {
    expect(compileCodec(doors).decode(hex("8001"))).toEqual(["front left", "bit 15"]);
  });

  test("a field that does not fit stays hex, the others do not", () => {
    expect(compileCodec(block).decode(hex("0164ff"))).toEqual({
      state: "on",
      limit: 10,
      label: "FF",
    });
  });

  test("a length and a unit are known where they are fixed", () => {
    expect(compileCodec(temperature)).toMatchObject({ length: 2, unit: "°C" });
    expect(compileCodec(doors).length).toBe(2);
    expect(compileCodec(block).length).toBeUndefined();
    const fixed = block.kind === "struct" ? block.fields.slice(0, 2) : [];
    expect(compileCodec({ kind: "struct", fields: fixed }).length).toBe(2);
  });

  test.each<[CodecDefinition, RegExp]>([
    [{ kind: "uint", length: 1, scale: 0 }, /scale/],
    [{ kind: "enum", values: { 256: "far" } }, /256/],
    [{ kind: "bits", length: 1, bits: { 8: "ninth" } }, /bit 8/],
  ])("%j contradicts itself", (definition, message) => {
    expect(() => compileCodec(definition)).toThrow(message);
  });

  test("fields have a name of their own, and a length where others follow", () => {
    const label = { name: "label", codec: { kind: "ascii" } } as const;
    const state = { name: "state", codec: { kind: "uint", length: 1 } } as const;
    expect(() => compileFields([label, state])).toThrow(/label needs a length/);
    expect(() => compileFields([state, state])).toThrow(/two fields state/);
    expect(compileFields([state, label])).toHaveLength(2);
  });

  test("any record decodes to a value or to none, and never throws", () => {
    const definitions = [...pairs.map(([definition]) => definition)];
    fc.assert(
      fc.property(
        fc.constantFrom(...definitions),
        fc.uint8Array({ maxLength: 24 }),
        (definition, record) => {
          const value = compileCodec(definition).decode(record);
          expect(value === undefined || JSON.stringify(value).length > 0).toBe(true);
        },
      ),
    );
  });

  test("scaled integers come back", () => {
    const codec = compileCodec(temperature);
    fc.assert(
      fc.property(fc.integer({ min: -32_768, max: 32_767 }), (raw) => {
        expect(codec.decode(codec.encode(raw / 10))).toBeCloseTo(raw / 10, 9);
      }),
    );
  });
});

describe("the standard's identifiers", () => {
  test("are listed once", () => {
    const ids = didTable.map(({ did }) => did);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("a VIN is padded to its length and read without the padding", () => {
    const vin = findDid(0xf190)?.codec;
    expect(vin?.decode(vin.encode("VMG-001"))).toBe("VMG-001");
    expect(vin?.encode("VMG-001")).toHaveLength(17);
  });
});
