import { findTarget } from "#protocol/uptane/find-target.ts";
import type { Metadata } from "#protocol/uptane/metadata.ts";
import type { TrustedRepository } from "#protocol/uptane/trusted.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { listImages, setPublished } from "#server/firmware/queries.ts";
import { readImageSet, trustedFrom, type ImageSet } from "./image.ts";
import { imageTarget, isSameTarget, type ImageTarget } from "./image-target.ts";
import { lockRepository } from "./queries.ts";

/**
 * Publishes the images that a live set names just as they are; others are no longer published.
 * @returns how many changed
 */
export async function markPublished(tx: Tx, set: ImageSet): Promise<number> {
  const images = await listImages(tx, "all");
  const trusted = { ...trustedFrom(set), snapshot: listing(set) };
  const published = images.filter((image) => {
    const target = imageTarget(image);
    return target !== undefined && names(trusted, target);
  });
  return setPublished(
    tx,
    published.map(({ firmware_id }) => firmware_id),
  );
}

/** The images that wait for a signature, as targets would name them. */
export async function pendingTargets(db: Db, limit?: number): Promise<ImageTarget[]> {
  const images = await listImages(db, "awaiting_signature", limit);
  return images.flatMap((image) => imageTarget(image) ?? []);
}

/** As {@link markPublished}, after an image has changed rather than what is signed. */
export async function reconcileImages(tx: Tx): Promise<void> {
  await lockRepository(tx, "image");
  const set = await readImageSet(tx, "live");
  if (set !== undefined) await markPublished(tx, set);
}

/** Whether a client that looks for the target finds just this. All has been verified before. */
function names(trusted: TrustedRepository, target: ImageTarget): boolean {
  const checks = { now: new Date(0), families: [], verify: () => true };
  const search = findTarget(trusted, target.path, checks);
  try {
    const step = search.next();
    return step.done === true && isSameTarget(step.value.file, target.file);
  } catch (error) {
    if (error instanceof UptaneError) return false;
    throw error;
  }
}

/** A snapshot that only says which versions there are: hashing each file for each image takes long. */
function listing({ delegated }: ImageSet): Metadata<"snapshot"> {
  const meta = [...delegated].map(([role, { signed }]) => [
    `${role}.json`,
    { version: signed.version },
  ]);
  return {
    bytes: Buffer.alloc(0),
    signedBytes: Buffer.alloc(0),
    signatures: [],
    keys: new Map(),
    signed: {
      spec_version: "1.0.31",
      version: 1,
      expires: "9999-12-31T23:59:59Z",
      meta: { "targets.json": { version: 1 }, ...Object.fromEntries(meta) },
    },
  };
}
