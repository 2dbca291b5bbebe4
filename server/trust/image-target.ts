import { canonicalJson } from "#protocol/uptane/canonical-json.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import type { TargetFile } from "#protocol/uptane/metadata.ts";
import { knownReleaseCounter } from "#protocol/uptane/release-counter.ts";
import type { FirmwareImage } from "#server/firmware/queries.ts";
import type { Requirement } from "#server/firmware/release.ts";

/** What the image repository says of an image, under its path. */
export interface ImageTarget {
  path: string;
  file: ReturnType<typeof imageFile> & { custom: Record<string, unknown> };
}

/** Where an image lies in the image repository. */
export function targetPath({ ecu_type, version }: { ecu_type: string; version: string }): string {
  return `${ecu_type}/${version}.bin`;
}

/** The image's bytes, uncompressed, by length and hashes; those from before had no SHA-512. */
export function imageFile({ size, sha256, sha512 }: FirmwareImage) {
  return { length: size, hashes: { sha256, ...(sha512 !== null && { sha512 }) } };
}

/** @returns undefined for a version that can't be counted, as the oldest uploads may have. */
export function imageTarget(image: FirmwareImage): ImageTarget | undefined {
  const { ecu_type, version, hardware_versions, min_current_version, requires } = image;
  const release_counter = knownReleaseCounter(version);
  if (release_counter === undefined) return undefined;
  const custom = {
    ecu_type,
    hardware_ids: hardware_versions.map((each) => hardwareId(ecu_type, each)).sort(),
    version,
    release_counter,
    ...(min_current_version !== null && { min_current_version }),
    ...(requires.length > 0 && { requires: requires.toSorted(byType) }),
  };
  return { path: targetPath(image), file: { ...imageFile(image), custom } };
}

function byType(one: Requirement, other: Requirement): number {
  return one.ecu_type < other.ecu_type ? -1 : 1;
}

/** Whether two say the same of an image, to the last member. */
export function isSameTarget(one: TargetFile, other: TargetFile): boolean {
  return canonicalJson(one).equals(canonicalJson(other));
}
