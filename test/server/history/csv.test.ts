import { expect, it } from "vitest";
import { csvLine } from "#server/history/csv.ts";

it.each([
  ["=1+1", "'=1+1"],
  ["\uff1d1+1", "'\uff1d1+1"],
  ["\n=1+1", '"\'\n=1+1"'],
  ["a;=1+1", '"a;=1+1"'],
  ["a\t=1+1", '"a\t=1+1"'],
  ['say "so", then', '"say ""so"", then"'],
  ["1 - 1", "1 - 1"],
])("%j is text to whoever opens the file", (text, field) => {
  expect(csvLine([null, -1, text])).toBe(`,-1,${field}\r\n`);
});
