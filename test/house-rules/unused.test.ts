import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { plantTree, repository } from "./planted-tree.ts";

/** The entries of package.json, each of which must exist. */
function entries(main: string): Record<string, string> {
  const text = readFileSync(join(repository, "package.json"), "utf8");
  const { scripts, bin } = JSON.parse(text) as Record<"scripts" | "bin", Record<string, string>>;
  const files = [...Object.values(scripts), ...Object.values(bin)].flatMap((line) =>
    [...line.matchAll(/[\w./-]+\.[tj]s\b/g)].map(([file]) => file),
  );
  const others = files.map((file) => [file, "export {};\n"] as const);
  return { ...Object.fromEntries(others), "server/main.ts": main };
}

interface Issue {
  file: string;
  files: unknown[];
  exports: { name: string }[];
  types: { name: string }[];
  dependencies: { name: string }[];
}

function knip(files: Record<string, string>) {
  const tree = plantTree(files);
  onTestFinished(() => tree.remove());
  const { status, stdout, stderr } = tree.run("knip", "--reporter", "json");
  if (!stdout.startsWith("{")) throw new Error(stderr);
  const { issues } = JSON.parse(stdout) as { issues: Issue[] };
  const names = (kind: "exports" | "types" | "dependencies") =>
    issues.flatMap((issue) => issue[kind].map(({ name }) => name));
  return {
    status,
    files: issues.filter((issue) => issue.files.length > 0).map((issue) => issue.file),
    exports: names("exports"),
    types: names("types"),
    dependencies: names("dependencies"),
  };
}

it("code that nothing uses is found: a file, an export, a type, a dependency", () => {
  const main = [
    'import "fastify";',
    'import { used, type Used } from "./parts.ts";',
    "",
    "export const same: Used = used;",
    "",
  ].join("\n");
  const found = knip({
    ...entries(main),
    "server/parts.ts":
      'export type Used = string;\nexport type Idle = number;\nexport const used: Used = "";\nexport const idle = 1;\n',
    "server/orphan.ts": "export const orphan = 1;\n",
  });
  expect(found.status).toBe(1);
  expect(found.files).toEqual(["server/orphan.ts"]);
  expect(found.exports).toEqual(["idle"]);
  expect(found.types).toEqual(["Idle"]);
  expect(found.dependencies).toContain("kysely");
  expect(found.dependencies).not.toContain("fastify");
});
