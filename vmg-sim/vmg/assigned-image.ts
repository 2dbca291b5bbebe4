import { isDeepStrictEqual } from "node:util";
import { Type, type Static } from "typebox";
import type { Manifest, ManifestEcu } from "#protocol/package/manifest.ts";
import { MAX_MANIFEST_BYTES } from "#protocol/package/manifest.ts";
import { MAX_SIGNATURES_BYTES } from "#protocol/package/signatures.ts";
import { BLOCK, END_OF_ARCHIVE, padding } from "#protocol/package/tar-header.ts";
import type { VerifiedAssignment } from "#protocol/uptane/full-verification.ts";
import { knownReleaseCounter } from "#protocol/uptane/release-counter.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";

const length = Type.Integer({ minimum: 0 });

/** What full verification lets one ECU install, as the update's record keeps it. */
export const AssignedImage = Type.Object({
  ecu_id: Type.String(),
  /** In the image repository. */
  path: Type.String(),
  length,
  hashes: Type.Record(Type.String(), Type.String()),
  release_counter: Type.Optional(Type.Integer()),
  /** The file of the package: compressed. */
  package: Type.Object({
    id: Type.String(),
    sha256: Type.String(),
    length,
    path: Type.String(),
    encoding: Type.String(),
  }),
});
export type AssignedImage = Static<typeof AssignedImage>;

interface OfferedUpdate {
  package_id: string;
  size: number;
  ecus: readonly { ecu_id: string; to_version: string }[];
}

/**
 * The assignments of the ECUs that an update is for: that the director has assigned this very
 * package and these releases to them, and that the gateway wants to send no more than was signed.
 * @throws UptaneError UPTANE_PACKAGE_MISMATCH, UPTANE_LENGTH_EXCEEDED
 */
export function assignedImages(
  { package_id, size, ecus }: OfferedUpdate,
  assignments: readonly VerifiedAssignment[],
): AssignedImage[] {
  const images = ecus.map(({ ecu_id, to_version }) => {
    const found = assignments.find(({ ecu }) => ecu.ecu_id === ecu_id);
    if (found === undefined) throw mismatch(ecu_id, "the director assigns nothing to it");
    const { path, file, ecu } = found;
    if (ecu.package?.id !== package_id) {
      throw mismatch(ecu_id, `assigned from package ${ecu.package?.id}, not from ${package_id}`);
    }
    if (ecu.release_counter !== knownReleaseCounter(to_version)) {
      throw mismatch(ecu_id, `release ${ecu.release_counter} is assigned, ${to_version} offered`);
    }
    return {
      ecu_id,
      path,
      length: file.length,
      hashes: { ...file.hashes },
      ...(ecu.release_counter !== undefined && { release_counter: ecu.release_counter }),
      package: ecu.package,
    };
  });
  const most = longestPackage(images);
  if (size > most) {
    const what = `a package of ${size} bytes, the signed lengths come to ${most}`;
    throw new UptaneError("UPTANE_LENGTH_EXCEEDED", "package", what);
  }
  return images;
}

/** Both metadata files at their largest, and every image at its signed length. */
function longestPackage(images: readonly AssignedImage[]): number {
  const file = (bytes: number) => BLOCK + bytes + padding(bytes).length;
  return [
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURES_BYTES,
    ...images.map((image) => image.package.length),
  ].reduce((sum, bytes) => sum + file(bytes), END_OF_ARCHIVE.length);
}

/**
 * Demands that the director still assigns the very images that a package was downloaded for.
 * @throws UptaneError UPTANE_PACKAGE_MISMATCH
 */
export function checkStillAssigned(
  downloaded: readonly AssignedImage[],
  assigned: readonly AssignedImage[],
): void {
  const other = downloaded.find((image) => !assigned.some((one) => isDeepStrictEqual(one, image)));
  if (other === undefined) return;
  throw mismatch(other.ecu_id, "the director assigns another image than was downloaded");
}

/**
 * Holds a package's manifest against the assignments: path, compressed file, image and release of
 * each ECU.
 * @throws UptaneError UPTANE_PACKAGE_MISMATCH
 */
export function checkManifest(manifest: Manifest, assigned: readonly AssignedImage[]): void {
  for (const ecu of manifest.zones.flatMap(({ ecus }) => ecus)) {
    const image = assigned.find(({ ecu_id }) => ecu_id === ecu.ecu_id);
    if (image === undefined) throw mismatch(ecu.ecu_id, "the director assigns nothing to it");
    const differences = differencesOf(ecu, image);
    if (differences.length > 0) {
      throw mismatch(ecu.ecu_id, `its manifest differs in ${differences.join(", ")}`);
    }
  }
}

function differencesOf(ecu: ManifestEcu, assigned: AssignedImage): string[] {
  const { package: file } = assigned;
  const sames: Record<string, boolean> = {
    "image path": assigned.path === `${ecu.ecu_type}/${ecu.version}.bin`,
    "release counter": assigned.release_counter === knownReleaseCounter(ecu.version),
    "image length": assigned.length === ecu.image.length,
    "image SHA-256": assigned.hashes["sha256"]?.toLowerCase() === ecu.image.sha256,
    path: file.path === ecu.path,
    encoding: file.encoding === ecu.encoding,
    length: file.length === ecu.length,
    "SHA-256": file.sha256 === ecu.sha256,
  };
  return Object.keys(sames).filter((name) => sames[name] !== true);
}

/** @throws UptaneError UPTANE_PACKAGE_MISMATCH */
export function checkSha512(image: AssignedImage, sha512: string): void {
  const expected = image.hashes["sha512"]?.toLowerCase();
  if (expected !== undefined && expected !== sha512) {
    throw mismatch(image.ecu_id, "its image differs in SHA-512");
  }
}

function mismatch(ecuId: string, what: string): UptaneError {
  return new UptaneError("UPTANE_PACKAGE_MISMATCH", `package: ${ecuId}`, what);
}
