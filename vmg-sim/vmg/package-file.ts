import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { decompressImage } from "#protocol/package/image.ts";
import { imageHeader } from "#protocol/package/layout.ts";
import type { Manifest, ManifestEcu } from "#protocol/package/manifest.ts";
import { openPackage } from "#protocol/package/reader.ts";
import { END_OF_ARCHIVE, padding } from "#protocol/package/tar-header.ts";
import type { TrustedKeys } from "#protocol/uptane/key.ts";
import { checkManifest, checkSha512 } from "./assigned-image.ts";
import type { UpdateRecord } from "./update-state.ts";

/** The package is a good one, but not what the gateway offered this vehicle. */
export class PackageOfferError extends Error {
  readonly code = "PACKAGE_NOT_AS_OFFERED";

  constructor(message: string) {
    super(message);
    this.name = "PackageOfferError";
  }
}

/** An image inside a package file whose signatures and hashes all held. */
export interface VerifiedImage {
  zone_id: string;
  ecu: ManifestEcu;
  /** First byte of the compressed image in the file. */
  offset: number;
}

export interface VerifiedPackage {
  file: string;
  /** In the order of the file. */
  images: VerifiedImage[];
}

const READ_BYTES = 1024 * 1024;

/**
 * Checks a package file from its first byte to its last, with bounded memory: both signatures, every
 * file's hash, every image's length and hash behind its compression, and that it holds exactly what
 * `record` says the gateway offered and the director has assigned.
 * @throws PackageError, PackageOfferError, UptaneError UPTANE_PACKAGE_MISMATCH, the signal's reason
 */
export async function verifyPackage(
  file: string,
  record: Pick<UpdateRecord, "package_id" | "ecus" | "assigned">,
  keys: TrustedKeys,
  options: { onProgress?: (done: number) => void; signal?: AbortSignal } = {},
): Promise<VerifiedPackage> {
  const { size } = await stat(file);
  const { signal, onProgress } = options;
  const bytes = counted(fileBytes(file, 0, size), size, onProgress, signal);
  const opened = await openPackage(bytes, { keys });
  if (opened.packageId !== record.package_id) {
    throw new PackageOfferError(`it is ${opened.packageId}, not ${record.package_id}`);
  }
  const { assigned } = record;
  checkOffer(opened.manifest, record.ecus);
  if (assigned !== undefined) checkManifest(opened.manifest, assigned);
  for await (const { content, ecu } of opened.entries) {
    const image = assigned?.find(({ ecu_id }) => ecu_id === ecu.ecu_id);
    // The manifest's own SHA-256 is checked on the way.
    const sha512 = image && createHash("sha512");
    for await (const chunk of decompressImage(content, ecu.image)) {
      signal?.throwIfAborted();
      sha512?.update(chunk);
    }
    if (image && sha512) checkSha512(image, sha512.digest("hex"));
  }
  return { file, images: imagesOf(opened.manifest, size) };
}

/** The decompressed bytes of an image; its length and hash are checked again as it streams. */
export function imageBytes(
  file: string,
  { ecu, offset }: VerifiedImage,
): AsyncIterable<Uint8Array> {
  return decompressImage(fileBytes(file, offset, ecu.length), ecu.image);
}

async function* fileBytes(file: string, start: number, length: number): AsyncGenerator<Uint8Array> {
  const end = start + length - 1;
  for await (const chunk of createReadStream(file, { start, end, highWaterMark: READ_BYTES })) {
    yield chunk as Buffer;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  size: number,
  onProgress: ((done: number) => void) | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let count = 0;
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    yield chunk;
    count += chunk.length;
    onProgress?.(count / size);
  }
}

function checkOffer(manifest: Manifest, offered: UpdateRecord["ecus"]): void {
  const inside = manifest.zones.flatMap(({ zone_id, ecus }) =>
    ecus.map(({ ecu_id, version }) => `${zone_id}/${ecu_id} ${version}`),
  );
  const wanted = offered.map((ecu) => `${ecu.zone_id}/${ecu.ecu_id} ${ecu.to_version}`);
  const stranger = inside.find((name) => !wanted.includes(name));
  if (stranger) throw new PackageOfferError(`${stranger} was not offered`);
  const missing = wanted.find((name) => !inside.includes(name));
  if (missing) throw new PackageOfferError(`${missing} is not inside`);
}

/** The files stand back to back at the end of the archive, so their places follow from its end. */
function imagesOf(manifest: Manifest, size: number): VerifiedImage[] {
  const images = manifest.zones.flatMap(({ zone_id, ecus }) =>
    ecus.map((ecu) => ({ zone_id, ecu })),
  );
  let at = size - END_OF_ARCHIVE.length;
  return images
    .toReversed()
    .map((image) => {
      const { length } = image.ecu;
      const offset = at - padding(length).length - length;
      at = offset - imageHeader(image.ecu).length;
      return { ...image, offset };
    })
    .toReversed();
}
