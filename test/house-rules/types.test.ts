import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantTree } from "./planted-tree.ts";

/** One violation each: the file, its text, and the one error that tsc must give. */
const violations: [name: string, file: string, text: string, error: string][] = [
  ["an enum", "enum.ts", "export enum Kind {\n  One,\n}\n", "TS1294"],
  [
    "a parameter property",
    "parameter-property.ts",
    "export class Box {\n  constructor(readonly size: number) {}\n}\n",
    "TS1294",
  ],
  [
    "an import without its extension",
    "extension.ts",
    'import { clean } from "./clean";\n\nexport const same = clean;\n',
    "TS2835",
  ],
  [
    "a type imported as a value",
    "type-import.ts",
    'import { Clean } from "./clean.ts";\n\nexport const same = (clean: Clean): Clean => clean;\n',
    "TS1484",
  ],
  [
    "an array element taken for granted",
    "element.ts",
    "export const first = (list: string[]): string => list[0];\n",
    "TS2322",
  ],
  [
    "undefined for an optional property",
    "optional.ts",
    "export const box: { size?: number } = { size: undefined };\n",
    "TS2375",
  ],
  [
    "a key of an index signature read as a property",
    "index-signature.ts",
    "export const read = (env: Record<string, string>) => env.HOME;\n",
    "TS4111",
  ],
  [
    "a path that returns nothing",
    "return.ts",
    'export function answer(yes: boolean): string | undefined {\n  if (yes) return "yes";\n}\n',
    "TS7030",
  ],
  ["an untyped parameter", "untyped.ts", "export const same = (value) => value;\n", "TS7006"],
  ["an unused local", "unused.ts", "const size = 1;\n\nexport {};\n", "TS6133"],
];

describe("tsc refuses", () => {
  const found = new Map<string, string[]>();
  let status: number | null = null;
  let remove = () => {};

  beforeAll(() => {
    const tree = plantTree({
      ...Object.fromEntries(violations.map(([, file, text]) => [file, text])),
      "clean.ts":
        "export interface Clean {\n  size: number;\n}\n\nexport const clean: Clean = { size: 1 };\n",
    });
    ({ remove } = tree);
    const result = tree.run("tsc", "--pretty", "false");
    ({ status } = result);
    for (const [, file = "", error = ""] of result.stdout.matchAll(/^([^(\s]+)\(.*error (TS\d+)/gm))
      found.set(file, [...(found.get(file) ?? []), error]);
  });
  afterAll(() => remove());

  it.each(violations)("%s", (_name, file, _text, error) => {
    expect(found.get(file)).toEqual([error]);
  });

  it("nothing else", () => {
    expect(status).not.toBe(0);
    expect([...found.keys()].toSorted()).toEqual(violations.map(([, file]) => file).toSorted());
  });
});
