import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const repository = join(import.meta.dirname, "../..");
const { scripts } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

/** Runs a command line of Node as if it were version `node`; what follows the check is not run. */
function asNode(node: string, ...args: string[]) {
  const source = `Object.defineProperty(process.versions, "node", { value: "${node}" });`;
  const preload = `data:text/javascript,${encodeURIComponent(source)}`;
  return spawnSync(process.execPath, ["--import", preload, ...args], {
    cwd: repository,
    encoding: "utf8",
  });
}

const started = Object.entries(scripts).filter(([, line]) => line.startsWith("node "));

describe("an older Node is told what is needed in one line", () => {
  it.each(started)("by npm run %s, before any TypeScript is loaded", (_name, line) => {
    expect(line).toMatch(
      /^node (--[\w-]+=\d+ )*--import \.\/config\/node-version\.js [\w/-]+\.ts$/,
    );
    const { status, stdout, stderr } = asNode("20.19.2", ...line.split(" ").slice(1));
    expect(stderr).toMatch(/^Latticeway needs Node\.js 26 or newer; this is 20\.19\.2\. .*\n$/);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(stdout).toBe("");
    expect(status).toBe(1);
  });

  it("by the command", () => {
    const { status, stderr } = asNode("22.23.3", "cli/latticeway.js", "--help");
    expect(stderr).toMatch(/^Latticeway needs Node\.js 26 or newer; this is 22\.23\.3\./);
    expect(status).toBe(1);
  });

  it("and a newer one is let through", () => {
    const { status, stdout } = asNode("27.0.0", "cli/latticeway.js", "--help");
    expect(stdout).toContain("Usage: latticeway");
    expect(status).toBe(0);
  });
});
