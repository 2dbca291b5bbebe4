import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { serveRepository } from "#test/conformance/repository-server.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { NOW, type TestRepository } from "#test/protocol/uptane/test-repository.ts";
import { PATH, repositories, type Repositories } from "#test/protocol/uptane/vehicle.ts";
import { trust } from "./run-trust.ts";

async function write(folder: string, { files }: TestRepository): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
  return folder;
}

/** The repositories in folders, and the options that verify them. */
async function inFolders(pair: Repositories, ...more: string[]): Promise<string[]> {
  const folder = testFolder();
  const director = await write(join(folder, "director"), pair.director);
  const image = await write(join(folder, "image"), pair.image);
  return options(
    director,
    image,
    [join(director, "1.root.json"), join(image, "1.root.json")],
    more,
  );
}

function options(director: string, image: string, roots: string[], more: string[]): string[] {
  const where = ["--director", director, "--image", image, "--root", ...roots];
  const ecu = ["--ecu-id", "ECU_001", "--hardware-id", "HW-A"];
  return ["verify", ...where, ...ecu, "--time", NOW.toISOString(), ...more];
}

describe("latticeway trust verify", () => {
  test("verifies folders, and says what", async () => {
    const args = await inFolders(repositories(), "--vin", "VMG-001", "--nonce", "nonce-1");
    const outcome = await trust(...args);
    expect(outcome).toMatchObject({ code: "ok", errors: "" });
    expect(outcome.output).toMatch(
      /^Verified\.\ndirector: root 1, timestamp 2, snapshot 2, targets 2$/m,
    );
    expect(outcome.output).toMatch(/^ECU_001 +HW-A +5 +brake\/ECU_001-1\.1\.0\.bin +19 +targets$/m);
    const json = JSON.parse((await trust(...args, "--json")).output) as unknown;
    expect(json).toMatchObject({
      verified: true,
      image: { root: 1, targets: 2 },
      assignments: [{ ecu_id: "ECU_001", path: PATH, signed_by: "targets", release_counter: 5 }],
    });
  });

  test("verifies URLs, with the images signed by a supplier", async () => {
    const pair = repositories();
    const { [PATH]: file } = pair.image.targets.targets;
    pair.image.targets.targets = {};
    pair.image.delegate("targets", "supplier", { paths: ["brake/*"] });
    const supplier = pair.image.delegated.get("supplier");
    if (supplier && file) supplier.targets = { [PATH]: file };
    pair.image.publishAll();
    const folders = await inFolders(pair);
    const director = await serveRepository(pair.director);
    const image = await serveRepository(pair.image);
    const roots = folders.slice(folders.indexOf("--root") + 1).slice(0, 2);
    const args = options(director.metadataUrl, image.metadataUrl, roots, []);
    const { errors, output } = await trust(...args);
    expect(errors).toBe("");
    expect(output).toMatch(/^ECU_001 .* supplier$/m);
  });

  test.each<[string, string[], (pair: Repositories) => void]>([
    ["UPTANE_VIN_MISMATCH", ["--vin", "VMG-002"], () => {}],
    ["UPTANE_NONCE_STALE", ["--nonce", "nonce-2"], () => {}],
    ["UPTANE_EXPIRED", ["--time", "2027-01-01T00:00:00Z"], () => {}],
    ["UPTANE_RELEASE_ROLLBACK", ["--release-counter", "6"], () => {}],
    [
      "UPTANE_DIRECTOR_EMPTY",
      ["--expect-update"],
      ({ director }) => {
        director.targets.targets = {};
        director.publishAll();
      },
    ],
    [
      "UPTANE_IMAGE_MISMATCH",
      [],
      ({ image }) => {
        image.addTarget(PATH, Buffer.from("other"), { hardware_ids: ["HW-A"], release_counter: 5 });
        image.publishAll();
      },
    ],
    ["UPTANE_METADATA_MISSING", [], ({ image }) => image.files.delete("timestamp.json")],
  ])("refuses with %s, exit code 1", async (code, more, change) => {
    const pair = repositories();
    change(pair);
    const args = await inFolders(pair, ...more);
    const outcome = await trust(...args);
    expect(outcome).toMatchObject({ code, exitCode: 1, output: "" });
    expect(outcome.errors).toMatch(new RegExp(`^error: .* \\(${code}\\)\\n$`));
    const { output } = await trust(...args, "--json");
    expect(JSON.parse(output)).toMatchObject({ verified: false, code });
  });

  test.each([["ed25519"], ["rsassa-pss-sha256"], ["ecdsa-sha2-nistp256"]] as const)(
    "takes %s keys alone only without the hybrid rule",
    async (scheme) => {
      const args = await inFolders(repositories({ schemes: [scheme] }));
      expect((await trust(...args)).code).toBe("UPTANE_SIGNATURE_MISSING");
      expect((await trust(...args, "--no-hybrid")).code).toBe("ok");
    },
  );

  test("remembers what it has seen, if asked", async () => {
    const pair = repositories();
    const state = join(testFolder(), "state.json");
    expect((await trust(...(await inFolders(pair, "--state", state)))).code).toBe("ok");
    const kept = await readFile(state);
    pair.director.timestamp.version = 1;
    pair.director.sign("timestamp");
    const args = await inFolders(pair, "--state", state);
    expect((await trust(...args)).code).toBe("UPTANE_TIMESTAMP_ROLLBACK");
    expect(await readFile(state)).toEqual(kept);
    expect((await trust(...(await inFolders(pair)))).code).toBe("ok");
    await writeFile(state, "{");
    expect((await trust(...args)).code).toBe("UPTANE_STATE_MALFORMED");
  });

  test("keeps a new root although the rest is refused", async () => {
    const pair = repositories();
    const state = join(testFolder(), "state.json");
    pair.director.publish("root");
    const args = await inFolders(pair, "--state", state, "--vin", "VMG-002");
    expect((await trust(...args)).code).toBe("UPTANE_VIN_MISMATCH");
    const { director } = JSON.parse(await readFile(state, "utf8")) as {
      director: { root: string };
    };
    expect(director.root).toBe(String(pair.director.files.get("2.root.json")));
    expect(director).not.toHaveProperty("timestamp");
  });

  test.each<[string, string[], string]>([
    ["a folder that is none", ["--director", "package.json"], "SOURCE_UNREACHABLE"],
    ["an address where nobody is", ["--director", "http://127.0.0.1:1"], "SOURCE_UNREACHABLE"],
    ["a third root", ["--root", "other.json"], "commander.invalidArgument"],
    ["an ECU without hardware", ["--ecu-id", "ECU_002"], "commander.invalidArgument"],
    ["no time", ["--time", "soon"], "commander.invalidArgument"],
    ["half a counter", ["--release-counter", "1.5"], "commander.invalidArgument"],
  ])("refuses %s", async (_name, more, code) => {
    const args = await inFolders(repositories(), ...more);
    expect(await trust(...args)).toMatchObject({ code, exitCode: 1 });
  });

  test("refuses a root that is not there", async () => {
    const roots = ["nowhere.json", "nowhere.json"];
    expect(await trust(...options("a", "b", roots, []))).toMatchObject({ code: "ENOENT" });
  });
});
