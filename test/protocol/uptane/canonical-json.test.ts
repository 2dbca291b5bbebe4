import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, CanonicalJsonError } from "#protocol/uptane/canonical-json.ts";

const text = (value: unknown) => canonicalJson(value).toString("utf8");

describe("canonical JSON", () => {
  test.each<[unknown, string]>([
    [{ b: 1, a: [true, false, null] }, '{"a":[true,false,null],"b":1}'],
    [{}, "{}"],
    [[], "[]"],
    ['say "hi" \\ bye', '"say \\"hi\\" \\\\ bye"'],
    ["line\nbreak\ttab", '"line\nbreak\ttab"'],
    ["ü€😀", '"ü€😀"'],
    [-7, "-7"],
    [Number.MAX_SAFE_INTEGER, "9007199254740991"],
    [{ B: 1, a: 2, A: 3, "": 4 }, '{"":4,"A":3,"B":1,"a":2}'],
    [Object.assign(Object.create(null) as object, { x: 1 }), '{"x":1}'],
    [JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
  ])("%j is %s", (value, expected) => {
    expect(text(value)).toBe(expected);
  });

  test("sorts keys by code point, not by UTF-16 unit", () => {
    expect(text({ "\u{1F600}": 1, "\uFF5E": 2 })).toBe('{"\uFF5E":2,"\u{1F600}":1}');
  });

  test.each<[string, unknown, string]>([
    ["a fraction", { a: 1.5 }, "$.a"],
    ["NaN", [Number.NaN], "$[0]"],
    ["an integer beyond 2^53", 2 ** 53, "$"],
    ["minus zero", { a: [0, -0] }, "$.a[1]"],
    ["undefined", { a: undefined }, "$.a"],
    // oxlint-disable-next-line no-sparse-arrays -- the hole is what is tested
    ["a hole in an array", [1, , 2], "$[1]"],
    ["a date", { a: new Date(0) }, "$.a"],
    ["a function", () => 1, "$"],
    ["a big integer", 1n, "$"],
    ["half a surrogate pair", { a: "\uD800" }, "$.a"],
    ["half a surrogate pair in a key", { "\uDC00": 1 }, "$.\uDC00"],
  ])("refuses %s", (_name, value, path) => {
    expect(() => canonicalJson(value)).toThrow(
      expect.objectContaining({ code: "CANONICAL_JSON_UNSUPPORTED", path }) as CanonicalJsonError,
    );
  });

  test("refuses nesting without end", () => {
    const ring: unknown[] = [];
    ring.push(ring);
    expect(() => canonicalJson(ring)).toThrow(CanonicalJsonError);
  });

  test("any JSON of integers and clean strings reads back, whatever the order of its keys", () => {
    const clean = fc.string({ unit: "grapheme" }).filter((s) => !/\p{Cc}/u.test(s));
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { depthSize: "small" },
        fc.integer().map((n) => n + 0),
        clean,
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("json")),
        fc.dictionary(clean, tie("json")),
      ),
    }));
    fc.assert(
      fc.property(json, (value) => {
        const bytes = canonicalJson(value);
        const back: unknown = JSON.parse(bytes.toString("utf8"));
        expect(back).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(reversed(back)).equals(bytes)).toBe(true);
      }),
    );
  });
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}
