import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageLayout } from "#protocol/package/layout.ts";
import { encodeManifest, packageId, type ManifestEcu } from "#protocol/package/manifest.ts";
import { signManifest } from "#protocol/package/signatures.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { collect, concatenate, SAMPLE_ECUS, samplePackage } from "#test/protocol/package/sample.ts";
import { installPlan } from "#vmg-sim/vmg/install-plan.ts";
import { imageBytes, verifyPackage } from "#vmg-sim/vmg/package-file.ts";

const sample = await samplePackage();

const offered = {
  package_id: packageId(sample.manifest),
  ecus: SAMPLE_ECUS.map(({ ecu_id, zone_id, version }) => ({
    ecu_id,
    zone_id,
    from_version: "1.0.0",
    to_version: version,
    step: "waiting" as const,
  })),
};

function written(bytes: Uint8Array = sample.bytes): string {
  const file = join(testFolder(), "package.tar");
  writeFileSync(file, bytes);
  return file;
}

describe("package file", () => {
  it("is checked to its last byte, and then gives every image back", async () => {
    const file = written();
    const progress: number[] = [];
    const verified = await verifyPackage(file, offered, sample.keys, {
      onProgress: (done) => progress.push(done),
    });
    expect(progress.at(-1)).toBe(1);
    expect(verified.images.map(({ ecu }) => ecu.ecu_id)).toEqual(["ECU_001", "ECU_002", "ECU_003"]);
    for (const image of verified.images) {
      const bytes = await collect(imageBytes(file, image));
      expect(bytes.equals(sample.images.get(image.ecu.ecu_id) ?? Buffer.alloc(0))).toBe(true);
    }
  });

  it("is refused whichever byte is wrong", async () => {
    for (let at = 0; at < sample.bytes.length; at += 97) {
      const wrong = Buffer.from(sample.bytes);
      wrong.writeUInt8(wrong.readUInt8(at) ^ 0x01, at);
      await expect(verifyPackage(written(wrong), offered, sample.keys)).rejects.toMatchObject({
        code: expect.stringMatching(/^PACKAGE_/),
      });
    }
  });

  it.each([
    ["another package", { ...offered, package_id: "pkg-other" }],
    ["an ECU that was not offered", { ...offered, ecus: offered.ecus.slice(1) }],
    [
      "an ECU that is missing",
      { ...offered, ecus: [...offered.ecus, { ...offered.ecus[0], ecu_id: "ECU_009" }] },
    ],
    [
      "another version",
      { ...offered, ecus: offered.ecus.map((ecu) => ({ ...ecu, to_version: "9.9.9" })) },
    ],
  ] as const)("is refused when it is good, but %s", async (_, record) => {
    const promise = verifyPackage(written(), record as typeof offered, sample.keys);
    await expect(promise).rejects.toMatchObject({ code: "PACKAGE_NOT_AS_OFFERED" });
  });

  it.each<[string, (image: ManifestEcu["image"]) => Partial<ManifestEcu["image"]>]>([
    ["PACKAGE_IMAGE_HASH", () => ({ sha256: "0".repeat(64) })],
    ["PACKAGE_IMAGE_LENGTH", ({ length }) => ({ length: length - 1 })],
    ["PACKAGE_IMAGE_LENGTH", ({ length }) => ({ length: length + 1 })],
  ])("is refused with %s for what a signed file expands to", async (code, change) => {
    const zones = sample.zones.map((zone) => ({
      ...zone,
      ecus: zone.ecus.map((ecu) => ({ ...ecu, image: { ...ecu.image, ...change(ecu.image) } })),
    }));
    const manifest = encodeManifest(zones);
    const layout = packageLayout(manifest, await signManifest(manifest, sample.signers));
    const file = written(concatenate(layout.segments, sample.blobs));
    const record = { ...offered, package_id: packageId(manifest) };
    await expect(verifyPackage(file, record, sample.keys)).rejects.toMatchObject({ code });
  });

  it("does not flash an image that changed on disk after the check", async () => {
    const file = written();
    const { images } = await verifyPackage(file, offered, sample.keys);
    writeFileSync(file, Buffer.alloc(sample.bytes.length, 0x55));
    const [image] = images;
    if (!image) throw new Error("no image");
    await expect(collect(imageBytes(file, image))).rejects.toMatchObject({
      code: "PACKAGE_IMAGE_CORRUPT",
    });
  });
});

describe("install plan", () => {
  it("goes by install_order, with the zones side by side", async () => {
    const { images } = await verifyPackage(written(), offered, sample.keys);
    const [first, second, third] = images;
    if (!first || !second || !third) throw new Error("three images");
    const other = { ...third, ecu: { ...third.ecu, install_order: 1 } };
    const ids = (plan: ReturnType<typeof installPlan>) =>
      plan.map((wave) => wave.map((zone) => zone.map(({ ecu }) => ecu.ecu_id)));
    expect(ids(installPlan(images))).toEqual([[["ECU_001", "ECU_002"]], [["ECU_003"]]]);
    expect(ids(installPlan([first, second, other]))).toEqual([
      [["ECU_001", "ECU_002"], ["ECU_003"]],
    ]);
  });
});
