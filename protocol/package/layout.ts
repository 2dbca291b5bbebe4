import { parseManifest, type Manifest, type ManifestEcu } from "./manifest.ts";
import { END_OF_ARCHIVE, fileHeader, padding } from "./tar-header.ts";

export const MANIFEST_NAME = "manifest.json";
export const SIGNATURES_NAME = "manifest.sigs.json";

/** A part of a package: bytes at hand, or a range of a blob that the caller has in its store. */
export type Segment =
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "blob"; sha256: string; offset: number; length: number };

/** Where the files of one zonal gateway lie, headers included: one Range request fetches them. */
export interface ZoneRange {
  zone_id: string;
  offset: number;
  length: number;
}

export interface PackageLayout {
  manifest: Manifest;
  /** In order; concatenated they are the package. */
  segments: Segment[];
  /** Bytes of the whole package. */
  length: number;
  zones: ZoneRange[];
}

/**
 * Lays out a package without touching a blob: a tar file that depends on nothing but its two
 * metadata files.
 * @throws PackageError PACKAGE_MANIFEST_*
 */
export function packageLayout(manifestBytes: Uint8Array, signatures: Uint8Array): PackageLayout {
  const manifest = parseManifest(manifestBytes);
  const builder = segmentBuilder();
  for (const [name, bytes] of [
    [MANIFEST_NAME, manifestBytes],
    [SIGNATURES_NAME, signatures],
  ] as const) {
    builder.bytes(fileHeader(name, bytes.length));
    builder.bytes(bytes);
    builder.bytes(padding(bytes.length));
  }
  const zones = manifest.zones.map((zone) => {
    const offset = builder.length();
    for (const ecu of zone.ecus) {
      builder.bytes(imageHeader(ecu));
      builder.blob(ecu.sha256, ecu.length);
      builder.bytes(padding(ecu.length));
    }
    return { zone_id: zone.zone_id, offset, length: builder.length() - offset };
  });
  builder.bytes(END_OF_ARCHIVE);
  return { manifest, segments: builder.segments(), length: builder.length(), zones };
}

export function imageHeader(ecu: ManifestEcu): Buffer {
  return fileHeader(ecu.path, ecu.length);
}

/**
 * The part of a package from byte `start` up to, not including, byte `end`.
 * @throws RangeError when they don't lie inside the segments, in this order.
 */
export function sliceSegments(segments: readonly Segment[], start: number, end: number): Segment[] {
  const total = segments.reduce((sum, segment) => sum + segmentLength(segment), 0);
  if (!(start >= 0 && start <= end && end <= total)) {
    throw new RangeError(`bytes ${start} to ${end} of ${total}`);
  }
  const slices: Segment[] = [];
  let at = 0;
  for (const segment of segments) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, segmentLength(segment));
    if (from < to) slices.push(sliceSegment(segment, from, to));
    at += segmentLength(segment);
  }
  return slices;
}

function sliceSegment(segment: Segment, from: number, to: number): Segment {
  return segment.kind === "bytes"
    ? { kind: "bytes", bytes: segment.bytes.subarray(from, to) }
    : { ...segment, offset: segment.offset + from, length: to - from };
}

function segmentLength(segment: Segment): number {
  return segment.kind === "bytes" ? segment.bytes.length : segment.length;
}

/** Joins what lies between two blobs into one segment, so that it is one write. */
function segmentBuilder() {
  const segments: Segment[] = [];
  let pending: Uint8Array[] = [];
  let length = 0;
  const flush = () => {
    if (pending.length > 0) segments.push({ kind: "bytes", bytes: Buffer.concat(pending) });
    pending = [];
  };
  return {
    length: () => length,
    bytes(bytes: Uint8Array) {
      if (bytes.length > 0) pending.push(bytes);
      length += bytes.length;
    },
    blob(sha256: string, blobLength: number) {
      flush();
      segments.push({ kind: "blob", sha256, offset: 0, length: blobLength });
      length += blobLength;
    },
    segments() {
      flush();
      return segments;
    },
  };
}
