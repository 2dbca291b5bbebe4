import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryFolder } from "#test/helpers/folder.ts";

export const repository = join(import.meta.dirname, "../..");

const configuration = [
  "package.json",
  "tsconfig.json",
  "oxlint.config.ts",
  ".oxfmtrc.json",
  "knip.json",
  ".gitignore",
];

export interface PlantedTree {
  /** Runs a tool of node_modules/.bin there. */
  run(tool: string, ...args: string[]): { status: number | null; stdout: string; stderr: string };
  remove: () => void;
}

/** A tree of its own with the repository's configuration and dependencies, and just these files. */
export function plantTree(files: Record<string, string>): PlantedTree {
  const { path, remove } = temporaryFolder();
  for (const name of configuration) copyFileSync(join(repository, name), join(path, name));
  symlinkSync(join(repository, "node_modules"), join(path, "node_modules"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return {
    run: (tool, ...args) =>
      spawnSync(join(repository, "node_modules/.bin", tool), args, { cwd: path, encoding: "utf8" }),
    remove,
  };
}
