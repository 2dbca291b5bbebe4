import { promisify } from "node:util";
import { constants, zstdCompress, type ZstdOptions } from "node:zlib";

const compress = promisify<Buffer, ZstdOptions, Buffer>(zstdCompress);

/** Each frame is compressed by itself; concatenated frames are one valid zstd stream (RFC 8878 §3). */
const FRAME_SIZE = 4 * 1024 * 1024;
/** Frames on the thread pool at once: enough for both it and the disk, and a bound on memory. */
const IN_FLIGHT = 4;

/**
 * Compresses a stream of any length with bounded memory, on the thread pool, several frames at
 * once. Yields the frames in order, each with a checksum of its content.
 */
export async function* compressFrames(
  chunks: AsyncIterable<Uint8Array>,
  level: number,
): AsyncGenerator<Buffer> {
  const options: ZstdOptions = {
    chunkSize: FRAME_SIZE,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  };
  const running: Promise<Buffer>[] = [];
  for await (const block of blocks(chunks)) {
    const frame = compress(block, options);
    // It is awaited in its turn; an error before that must not count as unhandled.
    frame.catch(() => undefined);
    running.push(frame);
    if (running.length >= IN_FLIGHT) yield await (running.shift() as Promise<Buffer>);
  }
  for (const frame of running) yield await frame;
}

/** Regroups a stream into blocks of exactly FRAME_SIZE, the last one shorter. */
async function* blocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let gathered: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    while (size + rest.length >= FRAME_SIZE) {
      const head = rest.subarray(0, FRAME_SIZE - size);
      yield Buffer.concat([...gathered, head]);
      rest = rest.subarray(head.length);
      gathered = [];
      size = 0;
    }
    if (rest.length > 0) gathered.push(rest);
    size += rest.length;
  }
  if (size > 0) yield Buffer.concat(gathered);
}
