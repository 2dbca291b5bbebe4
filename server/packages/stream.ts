import { sliceSegments, type PackageLayout, type Segment } from "#protocol/package/layout.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";

/**
 * Makes sure that every blob of a package is still what its manifest says, before the first byte of
 * it is sent.
 * @throws ProblemError BLOB_CORRUPT
 */
export async function verifyBlobs({ manifest }: PackageLayout, blobs: BlobStore): Promise<void> {
  for (const { sha256, length } of manifest.zones.flatMap(({ ecus }) => ecus)) {
    await blobs.verify({ sha256, length });
  }
}

/** The bytes of a package from `start` up to, not including, `end`; one chunk in memory at a time. */
export async function* packageBytes(
  { segments }: PackageLayout,
  blobs: BlobStore,
  { start, end }: { start: number; end: number },
): AsyncGenerator<Uint8Array> {
  for (const segment of sliceSegments(segments, start, end)) yield* segmentBytes(segment, blobs);
}

async function* segmentBytes(segment: Segment, blobs: BlobStore): AsyncGenerator<Uint8Array> {
  if (segment.kind === "bytes") yield segment.bytes;
  else yield* blobs.read(segment.sha256, segment) as AsyncIterable<Buffer>;
}
