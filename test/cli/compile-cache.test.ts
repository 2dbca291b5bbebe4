import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";

const latticeway = join(import.meta.dirname, "../../cli/latticeway.js");

/** Runs the command for a user whose caches are in a folder. */
function help(caches: string) {
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, XDG_CACHE_HOME: caches };
  return spawnSync(process.execPath, [latticeway, "--help"], { env, encoding: "utf8" });
}

it("is compiled once for a user, and runs without a folder to keep that in, too", () => {
  const caches = testFolder();
  const { status, stdout } = help(caches);
  expect(status).toBe(0);
  expect(readdirSync(join(caches, "latticeway"), { recursive: true }).length).toBeGreaterThan(100);
  expect(help("/dev/null/nowhere")).toMatchObject({ status: 0, stdout, stderr: "" });
});
