import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pendingTarget, readTargets, signedCeremony } from "./ceremony-folder.ts";

const IMAGE = Buffer.from("firmware");
const PATH = "brake-controller/1.2.3.bin";

describe("latticeway trust add-target", () => {
  test("names images that wait, once, beside those that were there", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    await writeFile(file, JSON.stringify([pendingTarget(PATH, IMAGE)]));
    expect(await ceremony.run("add-target", "--pending", file)).toMatch(
      /^brake-controller\/1\.2\.3\.bin +brake-controller:HW-1\.0 +8 /m,
    );
    expect(await ceremony.run("targets")).toMatch(/ targets 2 +draft$/m);
    await ceremony.run("sign");
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("CEREMONY_NOTHING_TO_DO");
    const second = "brake-controller/1.2.4.bin";
    const both = [pendingTarget(PATH, IMAGE), pendingTarget(second, Buffer.from("next"))];
    await writeFile(file, JSON.stringify(both));
    expect(await ceremony.refusal("add-target", "--pending", file, "other.bin")).toBe(
      "CEREMONY_IMAGE_UNKNOWN",
    );
    await ceremony.run("add-target", "--pending", file, second);
    await ceremony.run("sign");
    const { signed } = await readTargets(ceremony, "image", "3.targets.json");
    expect(Object.keys(signed.targets)).toEqual([PATH, second]);
    const { path: _path, ...description } = pendingTarget(PATH, IMAGE);
    expect(signed.targets[PATH]).toEqual(description);
  });

  test("writes no targets that no vehicle would take", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    const pending = Array.from({ length: 83 }, (_, index) => {
      const target = pendingTarget(`brake-controller/1.2.${index}.bin`, IMAGE);
      return { ...target, custom: { ...target.custom, notes: "x".repeat(100_000) } };
    });
    await writeFile(file, JSON.stringify(pending));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("CEREMONY_FILE_TOO_LARGE");
    expect(await ceremony.names("image", "draft")).toEqual([]);
    await ceremony.run("add-target", "--pending", file, PATH.replace("3", "5"));
  });

  test("never replaces an image under its path", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    await writeFile(file, JSON.stringify([pendingTarget(PATH, IMAGE)]));
    await ceremony.run("add-target", "--pending", file);
    await ceremony.run("sign");
    await writeFile(file, JSON.stringify([pendingTarget(PATH, Buffer.from("other"))]));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("CEREMONY_TARGET_DIFFERS");
    expect(await ceremony.names("image", "draft")).toEqual([]);
  });

  test("refuses an image that was not built here, if builds are given", async () => {
    const ceremony = await signedCeremony();
    const [file, images] = [join(ceremony.folder, "pending.json"), join(ceremony.folder, "built")];
    await mkdir(join(images, "brake"), { recursive: true });
    await writeFile(join(images, "brake", "release.bin"), IMAGE);
    const args = ["--pending", file, "--images", images];
    const other = pendingTarget(PATH, Buffer.from("slipped in by the gateway"));
    for (const wrong of [
      other,
      { ...pendingTarget(PATH, IMAGE), length: 1 },
      {
        ...pendingTarget(PATH, IMAGE),
        hashes: { ...other.hashes, sha256: pendingTarget(PATH, IMAGE).hashes.sha256 },
      },
    ]) {
      await writeFile(file, JSON.stringify([wrong]));
      expect(await ceremony.refusal("add-target", ...args)).toBe("CEREMONY_IMAGE_UNKNOWN");
    }
    await writeFile(file, JSON.stringify([pendingTarget(PATH, IMAGE)]));
    await ceremony.run("add-target", ...args);
  });

  test.each([
    ["another version", { version: "1.2.2" }],
    ["a later release", { release_counter: 99_990_000_000_000 }],
    ["another type", { ecu_type: "lights" }],
    ["an older release, whole", { version: "1.2.2", release_counter: 10_000_200_002 }],
    ["another type, whole", { ecu_type: "lights", hardware_ids: ["lights:HW-1.0"] }],
    ["hardware of another type", { hardware_ids: ["brake-controller:HW-1.0", "lights:HW-1.0"] }],
  ])("refuses an image whose description is not what its path says: %s", async (_name, change) => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    const target = pendingTarget(PATH, IMAGE);
    await writeFile(file, JSON.stringify([{ ...target, custom: { ...target.custom, ...change } }]));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe(
      "CEREMONY_TARGET_CONTRADICTS",
    );
    expect(await ceremony.names("image", "draft")).toEqual([]);
  });

  test("refuses an image that does not say which hardware it is for", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    await writeFile(file, JSON.stringify([{ ...pendingTarget(PATH, IMAGE), custom: {} }]));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("UPTANE_CUSTOM_MALFORMED");
    await writeFile(file, JSON.stringify([{ path: PATH }]));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("CEREMONY_FILE_INVALID");
  });
});
