import { describe, expect, it } from "vitest";
import { packageId } from "#protocol/package/manifest.ts";
import type { VerifiedAssignment } from "#protocol/uptane/full-verification.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import { samplePackage } from "#test/protocol/package/sample.ts";
import { refusal } from "#test/protocol/uptane/run.ts";
import {
  assignedImages,
  checkManifest,
  checkStillAssigned,
  type AssignedImage,
} from "#vmg-sim/vmg/assigned-image.ts";

const { bytes, layout, manifest: manifestBytes } = await samplePackage();
const { manifest } = layout;
const ecus = manifest.zones.flatMap((zone) => zone.ecus);
const id = packageId(manifestBytes);

/** What the director says of the package, and the images' signers with it. */
const assignments = ecus.map(
  ({ ecu_id, ecu_type, version, image, sha256, length, path, encoding }): VerifiedAssignment => ({
    path: `${ecu_type}/${version}.bin`,
    signedBy: "targets",
    file: { length: image.length, hashes: { sha256: image.sha256 } },
    ecu: {
      ecu_id,
      hardware_id: `${ecu_type}:HW-1.0`,
      release_counter: releaseCounter(version),
      package: { id, sha256, length, path, encoding },
    },
  }),
);
const offer = {
  package_id: id,
  size: bytes.length,
  ecus: ecus.map(({ ecu_id, version }) => ({ ecu_id, to_version: version })),
};

/** The first of several, changed. */
function withFirst<T>([first, ...others]: readonly T[], change: (one: T) => T): T[] {
  if (first === undefined) throw new Error("the sample has three ECUs");
  return [change(first), ...others];
}

describe("an update that is offered", () => {
  const ofEcu = (change: (ecu: VerifiedAssignment["ecu"]) => object) =>
    withFirst(assignments, (one) => ({ ...one, ecu: { ...one.ecu, ...change(one.ecu) } }));

  it("is the one that was assigned", () => {
    const images = assignedImages(offer, assignments);
    expect(images.map(({ ecu_id }) => ecu_id)).toEqual(ecus.map(({ ecu_id }) => ecu_id));
    expect(refusal(() => checkManifest(manifest, images))).toBe("accepted");
  });

  it.each<[string, VerifiedAssignment[]]>([
    ["to an ECU that is assigned nothing", assignments.slice(1)],
    ["from another package", ofEcu(({ package: file }) => ({ package: { ...file, id: "pkg-1" } }))],
    ["from a package that nobody names", ofEcu(() => ({ package: undefined }))],
    [
      "of another release",
      ofEcu(({ release_counter = 0 }) => ({ release_counter: release_counter + 1 })),
    ],
    ["of a release that is not counted", ofEcu(() => ({ release_counter: undefined }))],
  ])("%s is refused", (_name, assigned) => {
    expect(refusal(() => assignedImages(offer, assigned))).toBe("UPTANE_PACKAGE_MISMATCH");
  });

  it("in more bytes than the signed lengths can come to is refused", () => {
    const huge = { ...offer, size: 10_000_000 };
    expect(refusal(() => assignedImages(huge, assignments))).toBe("UPTANE_LENGTH_EXCEEDED");
  });
});

describe("a package's manifest", () => {
  const images = assignedImages(offer, assignments);
  const file = (change: Partial<AssignedImage["package"]>) => (image: AssignedImage) => ({
    ...image,
    package: { ...image.package, ...change },
  });

  it.each<[string, (image: AssignedImage) => AssignedImage]>([
    ["another version's path", (image) => ({ ...image, path: "brake-controller/9.9.9.bin" })],
    ["another release", (image) => ({ ...image, release_counter: 1 })],
    ["another length", (image) => ({ ...image, length: image.length + 1 })],
    ["another image", (image) => ({ ...image, hashes: { sha256: "0".repeat(64) } })],
    [
      "no SHA-256",
      ({ hashes: _, ...image }) => ({ ...image, hashes: { sha512: "0".repeat(128) } }),
    ],
    ["another file", file({ sha256: "0".repeat(64) })],
    ["another length of the file", file({ length: 1 })],
    ["another place", file({ path: "zones/x" })],
    ["another encoding", file({ encoding: "gzip" })],
    ["another ECU", (image) => ({ ...image, ecu_id: "ECU_009" })],
  ])("is refused when the director assigns %s", (_name, change) => {
    const assigned = withFirst(images, change);
    expect(refusal(() => checkManifest(manifest, assigned))).toBe("UPTANE_PACKAGE_MISMATCH");
  });

  it("is refused, downloaded or not, once the director says anything else", () => {
    const still = (assigned: AssignedImage[]) =>
      refusal(() => checkStillAssigned(images, structuredClone(assigned)));
    expect(still(images)).toBe("accepted");
    expect(still(images.slice(1))).toBe("UPTANE_PACKAGE_MISMATCH");
    expect(still(withFirst(images, file({ sha256: "0".repeat(64) })))).toBe(
      "UPTANE_PACKAGE_MISMATCH",
    );
  });
});
