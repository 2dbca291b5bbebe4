import { createHash } from "node:crypto";
import type { TrustedKeys } from "#protocol/uptane/key.ts";
import { byteSource, type ByteSource } from "./byte-source.ts";
import { imageHeader, MANIFEST_NAME, SIGNATURES_NAME } from "./layout.ts";
import {
  MAX_MANIFEST_BYTES,
  packageId,
  parseManifest,
  type Manifest,
  type ManifestEcu,
} from "./manifest.ts";
import { PackageError } from "./package-error.ts";
import { MAX_SIGNATURES_BYTES, verifyManifest } from "./signatures.ts";
import { BLOCK, END_OF_ARCHIVE, fileHeader, padding, readUstarBlock } from "./tar-header.ts";

/** One image of a package. */
export interface PackageEntry {
  zone_id: string;
  ecu: ManifestEcu;
  /**
   * The compressed file, to be read once. Its last chunk is followed by the check of its hash: an
   * iteration that ends without throwing has seen exactly what the manifest says.
   */
  content: AsyncIterable<Uint8Array>;
}

/** A package whose manifest is signed; nothing behind the manifest has been read yet. */
export interface OpenedPackage {
  packageId: string;
  manifest: Manifest;
  /**
   * The images in the order of the manifest, to be iterated once. An entry's content is read before
   * the next entry is asked for; what the caller leaves unread is read and checked all the same.
   * Only an iteration that comes to its end has seen a whole package.
   */
  entries: AsyncIterable<PackageEntry>;
}

export interface ReaderSettings {
  keys: TrustedKeys;
  /** Signatures needed of each key family; default 1. */
  threshold?: number;
}

/**
 * Opens a package as it arrives. The format leaves no freedom: once the manifest is known, every
 * byte of the file that is not in an image is known too, and is compared, not interpreted. Memory
 * stays within one chunk of the stream, beside the manifest.
 * @throws PackageError, here and while the entries are iterated
 */
export async function openPackage(
  chunks: AsyncIterable<Uint8Array>,
  settings: ReaderSettings,
): Promise<OpenedPackage> {
  const source = byteSource(chunks);
  try {
    const manifestBytes = await metadataFile(source, MANIFEST_NAME, MAX_MANIFEST_BYTES);
    const signatures = await metadataFile(source, SIGNATURES_NAME, MAX_SIGNATURES_BYTES);
    verifyManifest(manifestBytes, signatures, settings.keys, settings.threshold);
    const manifest = parseManifest(manifestBytes);
    return {
      packageId: packageId(manifestBytes),
      manifest,
      entries: readEntries(source, manifest),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function* readEntries(source: ByteSource, manifest: Manifest): AsyncGenerator<PackageEntry> {
  const paths = manifest.zones.flatMap((zone) => zone.ecus.map((ecu) => ecu.path));
  try {
    let index = 0;
    for (const { zone_id, ecus } of manifest.zones) {
      for (const ecu of ecus) {
        await expectHeader(source, ecu, { seen: paths.slice(0, index), due: paths.slice(index) });
        const file = imageFile(source, ecu);
        yield { zone_id, ecu, content: file.content };
        await file.finish();
        index += 1;
      }
    }
    await expectEnd(source, paths);
  } finally {
    await source.close();
  }
}

interface ImageFile {
  content: AsyncIterable<Uint8Array>;
  /** Reads what the caller left, and repeats the error of a content that was wrong. */
  finish(): Promise<void>;
}

function imageFile(source: ByteSource, ecu: ManifestEcu): ImageFile {
  // A generator answers one `next` after the other, also when a caller gave up with one under way.
  const bytes = imageBytes(source, ecu);
  let failure: unknown;
  const next = async () => {
    try {
      return await bytes.next();
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  return {
    // Without `return`: leaving the loop early must not end the generator, `finish` goes on with it.
    content: { [Symbol.asyncIterator]: () => ({ next }) },
    async finish() {
      while ((await next()).done !== true);
      if (failure !== undefined) throw failure;
    },
  };
}

/** The file's bytes, then its hash, then its padding. Ends only when all of it was right. */
async function* imageBytes(source: ByteSource, ecu: ManifestEcu): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  for (let missing = ecu.length; missing > 0;) {
    const chunk = await source.some(missing);
    hash.update(chunk);
    missing -= chunk.length;
    yield chunk;
  }
  if (hash.digest("hex") !== ecu.sha256) {
    throw new PackageError("PACKAGE_ENTRY_HASH", `${ecu.path} has another SHA-256 than signed`);
  }
  await expectPadding(source, ecu.path, ecu.length);
}

/** One of the two files whose length only their own header tells. */
async function metadataFile(
  source: ByteSource,
  name: string,
  maxLength: number,
): Promise<Uint8Array> {
  const block = await source.exactly(BLOCK);
  const fields = readUstarBlock(block);
  const length = fields?.length ?? 0;
  if (fields?.path !== name || !fileHeader(name, length).equals(block)) {
    throw unexpectedHeader(block, { path: name, length }, { seen: [], due: [name] });
  }
  if (length < 1 || length > maxLength) {
    throw new PackageError(
      "PACKAGE_ENTRY_SIZE",
      `${name} has ${length} bytes, ${maxLength} are allowed`,
    );
  }
  const bytes = await source.exactly(length);
  await expectPadding(source, name, length);
  return bytes;
}

interface Progress {
  /** Paths that were read already. */
  seen: readonly string[];
  /** Paths that are to come, beginning with the one expected now. */
  due: readonly string[];
}

async function expectHeader(
  source: ByteSource,
  ecu: ManifestEcu,
  progress: Progress,
): Promise<void> {
  const expected = imageHeader(ecu);
  for (let at = 0; at < expected.length; at += BLOCK) {
    const block = await source.exactly(BLOCK);
    if (!expected.subarray(at, at + BLOCK).equals(block)) {
      throw unexpectedHeader(block, ecu, progress);
    }
  }
}

async function expectPadding(source: ByteSource, path: string, length: number): Promise<void> {
  const expected = padding(length);
  if (!expected.equals(await source.exactly(expected.length))) {
    throw new PackageError("PACKAGE_PADDING", `bytes other than zero behind ${path}`);
  }
}

async function expectEnd(source: ByteSource, seen: readonly string[]): Promise<void> {
  for (let at = 0; at < END_OF_ARCHIVE.length; at += BLOCK) {
    const block = await source.exactly(BLOCK);
    if (!isZero(block)) throw unexpectedHeader(block, undefined, { seen, due: [] });
  }
  if (!(await source.atEnd())) {
    throw new PackageError("PACKAGE_TRAILING_BYTES", "bytes behind the end of the archive");
  }
}

/** Says what is wrong with a block that is not the expected header; reads nothing further. */
function unexpectedHeader(
  block: Uint8Array,
  expected: { path: string; length: number } | undefined,
  { seen, due }: Progress,
): PackageError {
  const wanted = expected?.path ?? "the end of the archive";
  if (isZero(block)) {
    return new PackageError("PACKAGE_ENTRY_MISSING", `the archive ends before ${wanted}`);
  }
  const found = readUstarBlock(block);
  if (found === undefined) {
    return new PackageError("PACKAGE_HEADER_INVALID", `no tar header where ${wanted} is due`);
  }
  const path = JSON.stringify(found.path.slice(0, 256));
  if (isUnsafe(found.path)) {
    return new PackageError("PACKAGE_PATH_UNSAFE", `${path} where ${wanted} is due`);
  }
  if (found.path === expected?.path) {
    return found.length === expected.length
      ? new PackageError("PACKAGE_HEADER_INVALID", `the header of ${path} is not as we write it`)
      : new PackageError(
          "PACKAGE_ENTRY_SIZE",
          `${path} has ${found.length} bytes instead of ${expected.length}`,
        );
  }
  if (seen.includes(found.path)) {
    return new PackageError("PACKAGE_ENTRY_DUPLICATE", `${path} comes twice`);
  }
  if (due.includes(found.path)) {
    return new PackageError("PACKAGE_ENTRY_ORDER", `${path} where ${wanted} is due`);
  }
  return new PackageError("PACKAGE_ENTRY_UNKNOWN", `${path} is not in the manifest`);
}

function isUnsafe(path: string): boolean {
  return path.startsWith("/") || path.includes("\\") || path.split("/").includes("..");
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
