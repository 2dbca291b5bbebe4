import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseStrictJson, type StrictJsonError } from "#protocol/uptane/strict-json.ts";

const parse = (text: string) => parseStrictJson(Buffer.from(text));

describe("strict JSON", () => {
  test.each<[string, unknown]>([
    [' { "b" : [ 1 , -2 , 0 ] ,\r\n\t"a" : { } , "" : [ ] } ', { b: [1, -2, 0], a: {}, "": [] }],
    ["[true,false,null]", [true, false, null]],
    [String.raw`"\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00ü€😀"`, '"\\/\b\f\n\r\tü😀ü€😀'],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
    ["-9007199254740991", Number.MIN_SAFE_INTEGER],
  ])("%s", (text, value) => {
    expect(parse(text)).toEqual(value);
  });

  test("a member called __proto__ is a member", () => {
    const value = parse('{"__proto__":{"version":1}}') as { version?: number };
    expect(Object.keys(value)).toEqual(["__proto__"]);
    expect(value.version).toBeUndefined();
  });

  test.each([
    "",
    " ",
    "{",
    "[",
    "[1,]",
    '{"a":1,}',
    "{1:1}",
    '{"a" 1}',
    '{"a":}',
    '{,"a":1}',
    "[1 2]",
    "1 1",
    "[]]",
    '"',
    '"\\"',
    '"\\x"',
    '"\\u12"',
    '"\n"',
    '"\u0000"',
    String.raw`"\ud83d"`,
    String.raw`"\ude00\ud83d"`,
    "'a'",
    "tru",
    "truely",
    "nul",
    "NaN",
    "Infinity",
    "01",
    "-",
    "+1",
    "-0",
    "1.0",
    "1.",
    ".5",
    "1e3",
    "1E3",
    "0x10",
    "9007199254740992",
    "-9007199254740992",
    "123456789012345678901234567890",
    "\uFEFF{}",
    "// comment\n1",
  ])("refuses %j", (text) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: "STRICT_JSON_SYNTAX" }) as StrictJsonError,
    );
  });

  test.each(['{"a":1,"a":1}', '{"a":1,"b":{"c":1,"\\u0063":2}}', '{"__proto__":1,"__proto__":2}'])(
    "refuses the second key of %s",
    (text) => {
      expect(() => parse(text)).toThrow(
        expect.objectContaining({ code: "STRICT_JSON_DUPLICATE_KEY" }) as StrictJsonError,
      );
    },
  );

  test.each([
    ["overlong", [0x22, 0xc0, 0xaf, 0x22]],
    ["a surrogate", [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ["cut", [0x22, 0xc3, 0x22]],
  ])("refuses bytes that are not UTF-8: %s", (_name, bytes) => {
    expect(() => parseStrictJson(Uint8Array.from(bytes))).toThrow(
      expect.objectContaining({ code: "STRICT_JSON_SYNTAX" }) as StrictJsonError,
    );
  });

  test.each([
    ["[", "]"],
    ['{"a":', "}"],
  ])("takes 64 levels of %s and no more", (open, close) => {
    const nested = (levels: number) => `${open.repeat(levels)}1${close.repeat(levels)}`;
    expect(parse(nested(64))).toBeDefined();
    for (const levels of [65, 100_000]) {
      expect(() => parse(nested(levels))).toThrow(
        expect.objectContaining({ code: "STRICT_JSON_TOO_DEEP" }) as StrictJsonError,
      );
    }
  });

  test("reads a string of megabytes", () => {
    const text = "x\\n".repeat(2_000_000);
    expect(parse(`"${text}"`)).toHaveLength(4_000_000);
  });

  const { value: values } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.maxSafeInteger().map((n) => n + 0),
      fc.string({ unit: "grapheme" }),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value")),
      fc.dictionary(fc.string(), tie("value")),
    ),
  }));

  test("reads what JSON.stringify writes, at any indentation", () => {
    fc.assert(
      fc.property(values, fc.nat(4), (value, indent) => {
        expect(parse(JSON.stringify(value, null, indent))).toEqual(
          JSON.parse(JSON.stringify(value)),
        );
      }),
    );
  });

  test("takes nothing that JSON.parse refuses, and says the same of what it takes", () => {
    const alphabet = '{}[]:,"\\0123456789.-+eEtrufalsn \n\u0000ü'.split("");
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom(...alphabet) }),
      fc.tuple(values, fc.nat(), fc.constantFrom(...alphabet)).map(([value, at, sign]) => {
        const json = JSON.stringify(value);
        const position = at % (json.length + 1);
        return json.slice(0, position) + sign + json.slice(position + (at % 2));
      }),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        const outcome = attempt(() => parse(candidate));
        // As the bytes say it: a cut emoji is no longer half a surrogate pair there.
        const expected = attempt(() => JSON.parse(candidate.toWellFormed()) as unknown);
        expect([REFUSED, expected]).toContainEqual(outcome);
      }),
      { numRuns: 2000 },
    );
  });

  test("any bytes are read or refused, never more than that", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const { code } = caught(() => parseStrictJson(bytes));
        expect(["read", "STRICT_JSON_SYNTAX", "STRICT_JSON_DUPLICATE_KEY"]).toContain(code);
      }),
    );
  });
});

const REFUSED = Symbol("refused");

function attempt(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return REFUSED;
  }
}

function caught(read: () => unknown): { code: string } {
  try {
    read();
    return { code: "read" };
  } catch (error) {
    return error as { code: string };
  }
}
