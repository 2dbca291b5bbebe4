import { PackageError } from "./package-error.ts";

/** Pulls bytes out of a stream of chunks in the pieces that a format asks for. */
export interface ByteSource {
  /**
   * Exactly `length` bytes in one piece; keep it small.
   * @throws PackageError PACKAGE_TRUNCATED
   */
  exactly(length: number): Promise<Uint8Array>;
  /**
   * Between 1 and `max` bytes, as they come.
   * @throws PackageError PACKAGE_TRUNCATED
   */
  some(max: number): Promise<Uint8Array>;
  /** Whether nothing is left. */
  atEnd(): Promise<boolean>;
  /** Lets the stream go. */
  close(): Promise<void>;
}

/** Holds no more than one chunk of the stream, beside what `exactly` collects. */
export function byteSource(chunks: AsyncIterable<Uint8Array>): ByteSource {
  const iterator = chunks[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array(0);

  const fill = async (): Promise<boolean> => {
    while (chunk.length === 0) {
      const next = await iterator.next();
      if (next.done === true) return false;
      chunk = next.value;
    }
    return true;
  };

  const source: ByteSource = {
    async exactly(length) {
      const pieces: Uint8Array[] = [];
      for (let missing = length; missing > 0;) {
        const piece = await source.some(missing);
        pieces.push(piece);
        missing -= piece.length;
      }
      return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
    },
    async some(max) {
      if (!(await fill()))
        throw new PackageError("PACKAGE_TRUNCATED", "the package ends too early");
      const piece = chunk.subarray(0, max);
      chunk = chunk.subarray(piece.length);
      return piece;
    },
    atEnd: async () => !(await fill()),
    async close() {
      await iterator.return?.();
    },
  };
  return source;
}
