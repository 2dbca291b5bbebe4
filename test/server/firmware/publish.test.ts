import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Firmware, FirmwareMetadata } from "#protocol/api/firmware.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { ingestImage, type IngestedImage } from "#server/firmware/ingest.ts";
import { publishFirmware } from "#server/firmware/publish.ts";
import { firmwareExists } from "#server/firmware/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
let folder: string;
let blobs: BlobStore;
let metadata: FirmwareMetadata;
let releases = 0;

beforeAll(async () => {
  own = await ownDatabase();
  folder = join(own.folder, "blobs");
});
afterAll(() => own.remove());
beforeEach(async () => {
  rmSync(folder, { recursive: true, force: true });
  blobs = await openDiskStore(folder);
  metadata = {
    ecu_type: "brake",
    version: `1.${++releases}.0`,
    hardware_versions: ["HW-1.0"],
    channel: "stable",
    critical: false,
  };
});

async function ingest(bytes = randomBytes(100_000)): Promise<IngestedImage> {
  const source = (async function* () {
    yield bytes;
  })();
  return ingestImage(source, blobs, { maxSize: 1_000_000, level: 1 });
}

/** What an upload does: an image that can't be published is dropped. */
async function publish(image: IngestedImage, as = metadata): Promise<Firmware> {
  try {
    return await publishFirmware(own.db, as, image, "somebody");
  } catch (error) {
    await image.blob.discard();
    throw error;
  }
}

/** Hashes of the blobs that are there; a name in the staging area shows as well. */
const stored = () =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => parentPath.slice(folder.length + 1) + name);
const isPublished = () => firmwareExists(own.db, metadata.ecu_type, metadata.version);

describe("publishing an image", () => {
  it("stores its row and its blob", async () => {
    const { compressed_sha256, compressed_size } = await publish(await ingest());
    await blobs.verify({ sha256: compressed_sha256, length: compressed_size });
    expect(stored()).toEqual([compressed_sha256]);
    expect(await isPublished()).toBe(true);
  });

  it("of a version that several publish at once keeps one, and nothing of the others", async () => {
    const images = await Promise.all(Array.from({ length: 8 }, () => ingest()));
    const results = await Promise.allSettled(images.map((image) => publish(image)));
    const published = results.filter((result) => result.status === "fulfilled");
    const refused = results.filter(
      (result) =>
        result.status === "rejected" &&
        (result.reason as { code?: string }).code === "FIRMWARE_EXISTS",
    );
    expect([published.length, refused.length]).toEqual([1, 7]);
    expect(stored()).toEqual([published[0]?.value.compressed_sha256]);
  });

  it("that the database refuses leaves nothing", async () => {
    const nightly = { ...metadata, channel: "nightly" as "beta" };
    await expect(publish(await ingest(), nightly)).rejects.toThrow(/check constraint/);
    expect(stored()).toEqual([]);
    expect(await isPublished()).toBe(false);
  });

  it("that the disk refuses leaves no row without its file", async () => {
    const bytes = randomBytes(100_000);
    const trial = await ingest(bytes);
    const { sha256 } = await trial.blob.seal();
    await trial.blob.discard();
    const inTheWay = join(folder, sha256.slice(0, 2), sha256.slice(2));
    mkdirSync(inTheWay, { recursive: true });
    await expect(publish(await ingest(bytes))).rejects.toMatchObject({ code: "EISDIR" });
    expect(await isPublished()).toBe(false);
    expect(stored()).toEqual([]);
    rmSync(inTheWay, { recursive: true });
    await publish(await ingest(bytes));
    expect(stored()).toEqual([sha256]);
  });

  it("of bytes that are there already, refused or not, keeps them", async () => {
    const bytes = randomBytes(100_000);
    const { compressed_sha256 } = await publish(await ingest(bytes));
    await expect(publish(await ingest(bytes))).rejects.toMatchObject({ code: "FIRMWARE_EXISTS" });
    await publish(await ingest(bytes), { ...metadata, ecu_type: "lights" });
    expect(stored()).toEqual([compressed_sha256]);
  });
});
