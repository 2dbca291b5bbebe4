import { createHash } from "node:crypto";
import { pipeline } from "node:stream";
import { constants, createZstdDecompress } from "node:zlib";
import type { ManifestEcu } from "./manifest.ts";
import { PackageError } from "./package-error.ts";

/** A frame may ask for a window of 128 MiB at most: the decoder's memory. */
const MAX_WINDOW_LOG = 27;

/**
 * Decompresses an image and checks it while it streams. It ends without throwing only when length
 * and SHA-256 are what the manifest says; more than `image.length` bytes are never let through,
 * however much a file expands to. Several zstd frames in a row are one image.
 * @throws PackageError PACKAGE_IMAGE_CORRUPT, _LENGTH, _HASH; errors of `content` as they are
 */
export async function* decompressImage(
  content: AsyncIterable<Uint8Array>,
  image: ManifestEcu["image"],
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of decompressed(content)) {
    length += chunk.length;
    if (length > image.length) {
      throw new PackageError("PACKAGE_IMAGE_LENGTH", `the image exceeds ${image.length} bytes`);
    }
    hash.update(chunk);
    yield chunk;
  }
  if (length < image.length) {
    throw new PackageError(
      "PACKAGE_IMAGE_LENGTH",
      `the image has ${length} bytes instead of ${image.length}`,
    );
  }
  if (hash.digest("hex") !== image.sha256) {
    throw new PackageError("PACKAGE_IMAGE_HASH", "the image has another SHA-256 than signed");
  }
}

async function* decompressed(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = createZstdDecompress({
    params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
  });
  // The iteration below meets the same error; the callback only keeps it from being unhandled.
  pipeline(content, decoder, () => {});
  try {
    for await (const chunk of decoder) yield chunk as Uint8Array;
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || !isZstdError(error.code)) throw error;
    throw new PackageError("PACKAGE_IMAGE_CORRUPT", `zstd: ${error.message}`);
  }
}

function isZstdError(code: unknown): boolean {
  return typeof code === "string" && (code.startsWith("ZSTD_") || code === "Z_BUF_ERROR");
}
