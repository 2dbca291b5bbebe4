import { sliceSegments, type PackageLayout, type Segment } from "#protocol/package/layout.ts";
import type { BlobStore, OpenBlob } from "#server/blobs/blob-store.ts";

/**
 * Bytes in one chunk. Over TLS, large chunks cost a third of the time of 64 KiB ones; from here on
 * they gain little and cost memory.
 */
const CHUNK_SIZE = 512 * 1024;

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

/**
 * The bytes of a package from `start` up to, not including, `end`. Two buffers take turns: one is
 * filled from the disk while the caller uses the other, so a chunk is valid only until the next
 * one is asked for. Fresh buffers would cost more than the encryption of what is in them.
 * A blob's last bytes are only handed out when nothing has touched it since it was checked.
 * @throws ProblemError BLOB_CORRUPT; Error when a blob is shorter than the layout says
 */
export async function* packageBytes(
  { segments }: PackageLayout,
  blobs: BlobStore,
  { start, end }: { start: number; end: number },
): AsyncGenerator<Uint8Array> {
  const source = openSegments(sliceSegments(segments, start, end), blobs);
  const size = Math.min(CHUNK_SIZE, end - start);
  const buffers = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)] as const;
  let ahead = readAhead(source, buffers[0]);
  try {
    for (let turn = 1; ; turn++) {
      const chunk = await ahead;
      if (chunk.length === 0) return;
      ahead = readAhead(source, buffers[turn % 2 === 0 ? 0 : 1]);
      yield chunk;
    }
  } finally {
    await ahead.catch(() => undefined);
    await source.close();
  }
}

/** An error waits for whoever asks for the chunk; until then it must not count as unhandled. */
function readAhead(source: SegmentSource, buffer: Buffer): Promise<Uint8Array> {
  const reading = source.fill(buffer).then((length) => buffer.subarray(0, length));
  reading.catch(() => undefined);
  return reading;
}

interface SegmentSource {
  /** Fills a buffer to its end; with less, down to nothing, only at the end of the segments. */
  fill(buffer: Buffer): Promise<number>;
  close(): Promise<void>;
}

function openSegments(segments: readonly Segment[], blobs: BlobStore): SegmentSource {
  const left = [...segments];
  let at = 0;
  let open: OpenBlob | undefined;

  async function readSome(segment: Segment, into: Buffer): Promise<number> {
    if (segment.kind === "bytes") {
      const part = segment.bytes.subarray(at, at + into.length);
      into.set(part);
      return part.length;
    }
    open ??= await blobs.open(segment.sha256);
    const read = await open.read(into.subarray(0, segment.length - at), segment.offset + at);
    if (read === 0) throw new Error(`blob ${segment.sha256} is shorter than its package says`);
    return read;
  }

  async function close(): Promise<void> {
    const closing = open;
    open = undefined;
    await closing?.close();
  }

  return {
    async fill(buffer) {
      let filled = 0;
      while (filled < buffer.length) {
        const [segment] = left;
        if (segment === undefined) break;
        const read = await readSome(segment, buffer.subarray(filled));
        filled += read;
        at += read;
        if (at < (segment.kind === "bytes" ? segment.bytes.length : segment.length)) continue;
        // Before the last bytes of it are handed out: without them no one takes it for whole.
        await open?.assertUnchanged();
        left.shift();
        at = 0;
        await close();
      }
      return filled;
    },
    close,
  };
}
