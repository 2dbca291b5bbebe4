import { expect, test } from "vitest";
import type { ScriptCondition } from "#protocol/mqtt/diagnostic-script.ts";
import { holds } from "#vmg-sim/vmg/script-condition.ts";

const answers = new Map([
  ["good", Buffer.from("62F19041424344", "hex")],
  ["bad", Buffer.from("7F2231", "hex")],
  ["silent", Buffer.alloc(0)],
]);

test.each<[Partial<ScriptCondition>, boolean]>([
  [{ is: "positive" }, true],
  [{ is: "negative" }, false],
  [{ is: "positive", not: true }, false],
  [{ is: "31" }, false],
  [{ answer: "bad", is: "negative" }, true],
  [{ answer: "bad", is: "31" }, true],
  [{ answer: "bad", is: "22" }, false],
  [{ answer: "bad", is: "positive" }, false],
  [{ answer: "silent", is: "positive" }, true],
  [{ answer: "missing", is: "negative" }, false],
  [{ answer: "missing", is: "positive", not: true }, true],
  [{ equals: "62F1" }, true],
  [{ offset: 3, equals: "4142" }, true],
  [{ offset: 3, equals: "4143" }, false],
  [{ offset: 6, equals: "4445" }, false],
  [{ offset: 3, mask: "F0", equals: "4F" }, true],
  [{ offset: 3, mask: "F0", equals: "4F42" }, true],
  [{ offset: 3, mask: "F0", equals: "4F43" }, false],
  [{ is: "negative", equals: "62F1" }, false],
  [{ offset: 3, equals: "4143", not: true }, true],
])("%j is %s", (condition, expected) => {
  expect(holds({ answer: "good", ...condition }, answers)).toBe(expected);
});
