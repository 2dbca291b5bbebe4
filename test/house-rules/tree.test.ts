import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { repository } from "./planted-tree.ts";

/** What git tracks or would add, without what the working tree has deleted. */
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: repository,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && statSync(join(repository, file), { throwIfNoEntry: false }));

const binary = /\.(?:png|jpg|ico|woff2|gz|zst|bin|der|tar)$/;
const texts = new Map(
  files
    .filter((file) => !binary.test(file))
    .map((file) => [file, readFileSync(join(repository, file), "utf8")]),
);

/** Patterns that no file may contain, each with a text that it must find. */
const forbidden: [what: string, pattern: RegExp, planted: string][] = [
  [
    "the host of a package registry",
    /\b(?:registry|npm|deb|pypi|proxy)\.[\w-]+\.(?:org|com|io|dev)\b|\bpypi\.org\b/,
    ["registry", "npmjs", "org"].join("."),
  ],
  [
    "a path of somebody's machine",
    /(?<![\w.)}-])\/(?:root|work|home|Users)\/[\w.-]+|\b[A-Z]:\\Users\\/,
    ["", "home", "somebody", "latticeway"].join("/"),
  ],
  [
    "a private key",
    /PRIVATE KEY-----(?:\s|\\n|["'+ ])*[A-Za-z0-9+/]{32}/,
    `-----BEGIN PRIVATE KEY${"-".repeat(5)}\n${"M".repeat(64)}`,
  ],
];

describe("no file contains", () => {
  it.each(forbidden)("%s", (_what, pattern, planted) => {
    expect(planted).toMatch(pattern);
    const found = [...texts].flatMap(([file, text]) => {
      const [match] = pattern.exec(text) ?? [];
      return match === undefined ? [] : [`${file}: ${match.slice(0, 60)}`];
    });
    expect(found).toEqual([]);
  });
});

describe("the tree", () => {
  it("was read", () => {
    expect(files).toContain("server/main.ts");
    expect(texts.get("package.json")).toContain('"latticeway"');
  });

  it("has no drawer for leftovers and no folder that re-exports itself", () => {
    const drawer = /^(?:index|utils?|types|common|misc|helpers?)\.[cm]?[jt]sx?$/;
    expect(drawer.test("utils.ts") && drawer.test("index.ts")).toBe(true);
    expect(files.filter((file) => drawer.test(basename(file)))).toEqual([]);
  });

  it("has no document or configuration that is too long to read", () => {
    const long = [...texts]
      .filter(([file]) => /\.(?:md|ya?ml|json|sh)$/.test(file) && file !== "package-lock.json")
      .map(([file, text]) => `${file}: ${text.split("\n").length}`)
      .filter((line) => Number(line.split(": ")[1]) > 500);
    expect(long).toEqual([]);
  });

  it("gives every folder with source its place in the import order", async () => {
    // oxlint-disable-next-line no-restricted-imports -- the root has no #name
    const { default: lintConfig } = await import("../../oxlint.config.ts");
    const placed = new Set(
      (lintConfig.overrides ?? [])
        .filter(({ rules }) => rules?.["no-restricted-imports"])
        .flatMap((override) => override.files.map((glob) => dirname(glob))),
    );
    const folders = files
      .filter((file) => /\.tsx?$/.test(file) && !/^(?:test\/|[^/]+$)/.test(file))
      .map((file) => dirname(file));
    expect(folders).toContain("server/vehicles");
    expect([...new Set(folders)].filter((folder) => !placed.has(folder))).toEqual([]);
  });
});

interface Locked {
  resolved?: string;
  integrity?: string;
  optionalDependencies?: Record<string, string>;
}

describe("the lock file", () => {
  const { packages } = JSON.parse(texts.get("package-lock.json") ?? "{}") as {
    packages: Record<string, Locked>;
  };
  const entries = Object.entries(packages).filter(([path]) => path !== "");

  it("names hashes, not registries", () => {
    expect(entries.length).toBeGreaterThan(100);
    expect(entries.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(entries.filter(([, { integrity }]) => integrity === undefined)).toEqual([]);
  });

  it("has the optional packages of every platform, without which npm ci refuses it", () => {
    const names = new Set(entries.map(([path]) => path.replace(/^.*node_modules\//, "")));
    const missing = entries.flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter((name) => !names.has(name))
        .map((name) => `${path}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it("brings the Node that package.json pins to every supported platform", () => {
    const nodes = Object.keys(packages[""]?.optionalDependencies ?? {});
    expect(nodes.length).toBeGreaterThan(0);
    for (const name of nodes) expect(packages[`node_modules/${name}`]).toMatchObject({ bin: {} });
  });
});
