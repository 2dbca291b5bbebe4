import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { samplePackage } from "#test/protocol/package/sample.ts";

const page = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");

/** The commands of the section, in order; the first fetches a package. */
const [, unpack = "", verify = ""] = page
  .slice(page.indexOf("### Checking a package by hand"))
  .matchAll(/```sh\n(.*?)```/gs)
  .map(([, commands = ""]) => commands);

describe("docs/protocol.md", () => {
  test("its commands check a good package and refuse an altered one", async (context) => {
    requirePeer(context, "zstd");
    requirePeer(context, "openssl-3.5");
    const folder = testFolder();
    const sample = await samplePackage();
    writeFileSync(join(folder, "package.tar"), sample.bytes);
    for (const { algorithm, publicKey } of sample.signers) {
      writeFileSync(
        join(folder, `${algorithm}.pub`),
        publicKey.export({ type: "spki", format: "pem" }),
      );
    }
    const good = run(`${unpack}\n${verify}`, folder);
    expect(good.stdout).toContain("Verified OK");
    expect(good.stdout).toContain("Signature Verified Successfully");
    expect(good.stdout).toContain("zones/ZG-FRONT/ECU_001-1.2.3.bin\n");
    expect(good.status).toBe(0);

    writeFileSync(join(folder, "manifest.json"), "{}");
    const altered = run(verify, folder);
    expect(altered.stdout).not.toContain("Verified OK");
    expect(altered.stdout).not.toContain("Signature Verified Successfully");
    expect(altered.status).not.toBe(0);
  });
});

function run(commands: string, cwd: string) {
  expect(commands).not.toBe("");
  return spawnSync("bash", ["-c", commands], { cwd, encoding: "utf8" });
}
