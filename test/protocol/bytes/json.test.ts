import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonError, parseJson } from "#protocol/bytes/json.ts";

/** What comes of a text: its value, or the kind of error. */
function attempt(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    return (error as Error).constructor;
  }
}

/** The text of an escape sequence, as it stands in JSON. */
const u = (hex: string) => `\\u${hex}`;

describe("parseJson", () => {
  it.each([
    ["U+0000", `"${u("0000")}"`],
    ["U+0000 in a key", `{"${u("0000")}":1}`],
    ["a high surrogate alone", `"${u("d83d")}"`],
    ["a low surrogate alone", `"${u("DE00")}"`],
    ["a pair the wrong way round", `"${u("de00")}${u("d83d")}"`],
    ["two high surrogates", `"${u("d83d")}${u("d83d")}${u("de00")}"`],
    ["a low surrogate behind an escaped backslash", `"\\\\ud83d${u("de00")}"`],
    ["a pair with an escaped backslash between", `"${u("d83d")}\\\\${u("de00")}"`],
    ["a high surrogate and a pair that is text", `"${u("d83d")}\\\\ude00"`],
    ["cut JSON", '{"a":'],
    ["nothing", ""],
    ["a raw NUL", '"\0"'],
    ["two values", "1 2"],
  ])("refuses %s", (_, text) => {
    expect(() => parseJson(text)).toThrow(JsonError);
  });

  it.each([
    ["a pair", `"${u("d83d")}${u("de00")}"`, "\u{1f600}"],
    ["two pairs", `"${u("d83d")}${u("de00")}${u("D83D")}${u("DE01")}"`, "\u{1f600}\u{1f601}"],
    ["an escaped backslash before u0000", '"C:\\\\u0000"', "C:\\u0000"],
    ["an escaped backslash before a surrogate's digits", '"\\\\ud83d"', "\\ud83d"],
    ["another escape", `"${u("0041")}"`, "A"],
  ])("accepts %s", (_, text, value) => {
    expect(parseJson(text)).toBe(value);
  });

  it("reads whatever JSON.stringify writes, and refuses exactly what no database text can hold", () => {
    const pieces = fc.constantFrom("\\", "u0000", "\0", "\ud83d", "\ude00", "d83d", "a", '"', "\n");
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const value = parts.join("");
        const text = JSON.stringify(value);
        const storable = value.isWellFormed() && !value.includes("\0");
        expect(attempt(text)).toEqual(storable ? value : JsonError);
      }),
      { numRuns: 2000 },
    );
  });

  it("bounds how deep values are nested, and does not count brackets inside text", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(() => parseJson(nested(64))).not.toThrow();
    expect(() => parseJson(nested(65))).toThrow(JsonError);
    expect(() => parseJson('{"a":'.repeat(65) + "1" + "}".repeat(65))).toThrow(JsonError);
    expect(() => parseJson(nested(1_000_000))).toThrow(JsonError);
    expect(parseJson(`"${"[".repeat(1000)}"`)).toHaveLength(1000);
    expect(parseJson(JSON.stringify(Array.from({ length: 1000 }, () => [[]])))).toHaveLength(1000);
  });

  it("keeps __proto__ as a plain key", () => {
    const value = parseJson('{"__proto__":{"admin":true}}') as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(["__proto__"]);
    expect(value["admin"]).toBeUndefined();
  });
});
