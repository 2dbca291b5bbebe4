import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { beginCeremony, signedCeremony, type TestCeremony } from "./ceremony-folder.ts";

/** The rows of the table of key files: what for, and who names it, by file. */
async function keyFiles(ceremony: TestCeremony, ...args: string[]): Promise<string[][]> {
  const status = await ceremony.run("status", ...args);
  const [, table = ""] = status.split(/\n.*KEY FILE.*\n/);
  return table.split("\n").map((line) => line.split(/ {2,}/));
}

/** How many files there are of each use. */
function counted(rows: string[][]): Record<string, number> {
  const uses = rows.map(([, role, named]) => `${role} ${named}`);
  return Object.fromEntries(uses.map((use) => [use, uses.filter((each) => each === use).length]));
}

describe("latticeway trust status", () => {
  test("tells for which role each private key here is, and what names it", async () => {
    const ceremony = await beginCeremony();
    const rows = await keyFiles(ceremony);
    expect(counted(rows)).toEqual({
      "director root by root 1 (draft)": 2,
      "image root by root 1 (draft)": 2,
      "image targets by root 1 (draft)": 2,
    });
    const names = rows.map(([file = ""]) => file);
    expect(names).toEqual(
      (await ceremony.names("keys")).map((name) => join(ceremony.dir, "keys", name)),
    );
  });

  test("tells which keys were replaced, and which nothing names", async () => {
    const ceremony = await signedCeremony();
    await ceremony.run("rotate", "--repository", "image", "--role", "targets");
    const drafted = {
      "director root by root 1": 2,
      "image root by root 1": 2,
      "image targets by root 1, no more by root 2 (draft)": 2,
      "image targets by root 2 (draft)": 2,
    };
    expect(counted(await keyFiles(ceremony))).toEqual(drafted);
    await ceremony.run("sign");
    await ceremony.run("make-keys", "--out", join(ceremony.folder, "spare.pub"));
    expect(counted(await keyFiles(ceremony))).toEqual({
      "director root by root 1": 2,
      "image root by root 2": 2,
      "image targets by root 1, no more by root 2": 2,
      "image targets by root 2": 2,
      "- by nothing here": 2,
    });
  });

  test("knows a supplier's keys, and another folder of keys", async () => {
    const ceremony = await signedCeremony();
    const [keys, pub] = [join(ceremony.folder, "supplier"), join(ceremony.folder, "supplier.pub")];
    await ceremony.run("make-keys", "--keys", keys, "--out", pub);
    const role = ["--repository", "image", "--role", "supplier-a", "--paths", "steering/*"];
    await ceremony.run("add-key", ...role, "--public", pub);
    await ceremony.run("sign");
    await ceremony.run("sign", "--keys", keys);
    expect(counted(await keyFiles(ceremony, "--keys", keys))).toEqual({
      "image supplier-a by targets 2": 2,
    });
  });

  test("says nothing of keys where there are none", async () => {
    const ceremony = await signedCeremony();
    await rm(ceremony.file("keys"), { recursive: true });
    expect(await ceremony.run("status")).not.toContain("KEY FILE");
  });
});
