import { stripVTControlCharacters } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { plantTree } from "./planted-tree.ts";

describe("the formatter", () => {
  it("refuses what it would write otherwise, and only that", () => {
    const tree = plantTree({
      "single-quotes.ts": "export const text = 'text';\n",
      "wide.ts": `export const list = [${"1000, ".repeat(20)}];\n`,
      "clean.ts": 'export const text = "text";\n',
      "indented.yaml": "key:\n      - 1\n",
    });
    onTestFinished(() => tree.remove());
    const { status, stdout } = tree.run("oxfmt", "--check", ".");
    expect(status).toBe(1);
    // Where CI is set, the tool colours what it writes, also to a pipe.
    const plain = stripVTControlCharacters(stdout);
    const named = [...plain.matchAll(/^(\S+) \(\d+ms\)$/gm)].map(([, file = ""]) => file);
    expect(new Set(named)).toEqual(new Set(["indented.yaml", "single-quotes.ts", "wide.ts"]));
  });
});
