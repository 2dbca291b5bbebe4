import { UptaneError } from "./uptane-error.ts";

/**
 * The bytes of a file that is being fetched, and not one more than it may have.
 * @throws UptaneError UPTANE_METADATA_TOO_LARGE; whatever the source throws
 */
export async function readMetadata(
  chunks: AsyncIterable<Uint8Array>,
  file: string,
  maxBytes: number,
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > maxBytes) {
      const what = `more than the ${maxBytes} bytes it may have`;
      throw new UptaneError("UPTANE_METADATA_TOO_LARGE", file, what);
    }
    parts.push(chunk);
  }
  return Buffer.concat(parts, length);
}
