import { describe, expect, it } from "vitest";
import { nameKey, operatorName } from "#server/operators/operator-name.ts";

describe("an operator's name", () => {
  it.each([
    ["alice", "alice", "alice"],
    ["Alice B. O'Neill-Meyer", "Alice B. O'Neill-Meyer", "alice b. o'neill-meyer"],
    ["ci@example.com", "ci@example.com", "ci@example.com"],
    // Composed, and full width letters as others are.
    ["Jose\u0301", "Jos\u00E9", "jos\u00E9"],
    ["\uFF41\uFF4C\uFF49\uFF43\uFF45", "alice", "alice"],
    ["\u0418\u0432\u0430\u043D", "\u0418\u0432\u0430\u043D", "\u0438\u0432\u0430\u043D"],
  ])("%j is %j, known by %j", (typed, name, key) => {
    expect(operatorName(typed)).toEqual({ name, name_key: key });
    expect(nameKey(typed)).toBe(key);
  });

  it.each([
    ["nothing", ""],
    ["65 characters", "a".repeat(65)],
    ["letters that become more than 64", "\uFDFA".repeat(5)],
    ["a blank at its end", "alice "],
    ["a blank before", " alice"],
    ["two blanks", "alice  b"],
    ["a line feed", "alice\nadmin"],
    ["a null", "alice\0"],
    ["an escape", "\u001B[2Jalice"],
    ["a delete", "alice\u007F"],
    ["a C1 control", "alice\u0085"],
    ["a joiner of no width", "ali\u200Dce"],
    ["a blank of no width", "ali\u200Bce"],
    ["a soft hyphen", "ali\u00ADce"],
    ["a mark that turns the writing round", "alice\u202Enimda"],
    ["a letter that is blank", "ali\u3164ce"],
    ["a picture of a control character", "alice\u2400"],
    ["a Braille blank", "ali\u2800ce"],
    ["a private character", "ali\uE000ce"],
    ["half a pair", "ali\uD83Dce"],
    ["a Cyrillic letter among Latin ones", "\u0430lice"],
    ["a Greek letter among Latin ones", "alic\u03B5"],
    ["an actor's prefix", "operator:alice"],
    ["markup", "<b>alice</b>"],
    ["only a mark", "\u0301"],
  ])("with %s is refused", (_, typed) => {
    expect(() => operatorName(typed)).toThrow(
      expect.objectContaining({ code: "OPERATOR_NAME_INVALID" }),
    );
  });
});
