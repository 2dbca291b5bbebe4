import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { beforeEach, describe, expect, it } from "vitest";
import type { BlobAddress, BlobStore } from "#server/blobs/blob-store.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { changeByte } from "./change-byte.ts";
import { openFilesIn, type OpenFile } from "./open-files.ts";
import { putBlob } from "./put-blob.ts";

let folder: string;
let store: BlobStore;
beforeEach(async () => {
  folder = testFolder();
  store = await openDiskStore(folder);
});

const bytes = randomBytes(300_000);
const pathOf = ({ sha256 }: BlobAddress) => join(folder, sha256.slice(0, 2), sha256.slice(2));
const staged = () => readdirSync(join(folder, "staging"));
/** All files of the store, staged or not. */
const storedFiles = () =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());

const put = (content: Buffer): Promise<BlobAddress> => putBlob(store, content);

const corrupt = expect.objectContaining({ code: "BLOB_CORRUPT" }) as Error;

describe("a blob", () => {
  it("is found under the hash of its bytes, for nobody else to read", async () => {
    const blob = await put(bytes);
    expect(blob).toEqual({
      sha256: createHash("sha256").update(bytes).digest("hex"),
      length: bytes.length,
    });
    expect(readFileSync(pathOf(blob)).equals(bytes)).toBe(true);
    expect(statSync(pathOf(blob)).mode & 0o077).toBe(0);
    expect(staged()).toEqual([]);
    await store.verify(blob);
  });

  it("is read from any place", async () => {
    const blob = await put(bytes);
    const open = await store.open(blob.sha256);
    const into = Buffer.alloc(1000);
    expect(await open.read(into, 299_500)).toBe(500);
    expect(into.subarray(0, 500).equals(bytes.subarray(299_500))).toBe(true);
    expect(await open.read(into, 300_000)).toBe(0);
    await open.close();
  });

  it("that was dropped leaves nothing, and dropping twice does no harm", async () => {
    const blob = await store.stage();
    await blob.write(bytes);
    expect(staged()).toHaveLength(1);
    await blob.discard();
    await blob.discard();
    expect(staged()).toEqual([]);
    expect(readdirSync(folder)).toEqual(["staging"]);
  });

  it("that is sealed is not found before it is published, and leaves nothing when it is dropped", async () => {
    const staged = await store.stage();
    await staged.write(bytes);
    const sealed = await staged.seal();
    await expect(store.verify(sealed)).rejects.toThrow(corrupt);
    await expect(store.open(sealed.sha256)).rejects.toThrow(corrupt);
    await staged.discard();
    expect(storedFiles()).toEqual([]);
  });

  it("that was touched since it was sealed is not published", async () => {
    const staged = await store.stage();
    await staged.write(bytes);
    const sealed = await staged.seal();
    const [name = ""] = readdirSync(join(folder, "staging"));
    changeByte(join(folder, "staging", name), 1000);
    await expect(sealed.publish()).rejects.toThrow(corrupt);
    await staged.discard();
    expect(storedFiles()).toEqual([]);
  });

  it("is not touched by dropping what was published", async () => {
    const staged = await store.stage();
    await staged.write(bytes);
    const sealed = await staged.seal();
    await sealed.publish();
    await staged.discard();
    await expect(store.verify(sealed)).resolves.toBeUndefined();
  });

  it("that is published again goes on unchanged for who is reading it", async () => {
    const { sha256 } = await put(bytes);
    const reading = await store.open(sha256);
    await put(bytes);
    await expect(reading.assertUnchanged()).resolves.toBeUndefined();
    await reading.close();
    expect(staged()).toEqual([]);
  });

  it.runIf(process.platform === "linux")("leaves no file open, published or dropped", async () => {
    await put(bytes);
    await put(bytes);
    const staged = await store.stage();
    await staged.seal();
    await staged.discard();
    expect(openFilesIn(folder)).toEqual([]);
  });

  it("that is written twice at once is there once, and good", async () => {
    const [one, other] = await Promise.all([put(bytes), put(bytes)]);
    expect(other).toEqual(one);
    await store.verify(one);
    expect(staged()).toEqual([]);
  });
});

describe("a blob that changed on the disk", () => {
  const changes: Record<string, (path: string) => void> = {
    "one bit of it, times put back": (path) => changeByte(path, 1000),
    "cut short": (path) => truncateSync(path, 299_999),
    "made longer": (path) => writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(1)])),
    emptied: (path) => truncateSync(path, 0),
    removed: (path) => rmSync(path),
  };

  describe.each(Object.entries(changes))("%s", (_, change) => {
    it("is never found good: right after it was written", async () => {
      const blob = await put(bytes);
      change(pathOf(blob));
      await expect(store.verify(blob)).rejects.toThrow(corrupt);
    });

    it("is never found good: after it was found good, and by another process", async () => {
      const blob = await put(bytes);
      await store.verify(blob);
      change(pathOf(blob));
      await expect(store.verify(blob)).rejects.toThrow(corrupt);
      await expect(store.verify(blob)).rejects.toThrow(corrupt);
      const other = await openDiskStore(folder);
      await expect(other.verify(blob)).rejects.toThrow(corrupt);
    });

    it("is not opened: after it was found good, and by another process", async () => {
      const blob = await put(bytes);
      await store.verify(blob);
      change(pathOf(blob));
      await expect(store.open(blob.sha256)).rejects.toThrow(corrupt);
      const other = await openDiskStore(folder);
      await expect(other.open(blob.sha256)).rejects.toThrow(corrupt);
    });

    it("is good again once the right bytes are written again", async () => {
      const blob = await put(bytes);
      change(pathOf(blob));
      await expect(store.verify(blob)).rejects.toThrow(corrupt);
      await put(bytes);
      await expect(store.verify(blob)).resolves.toBeUndefined();
    });
  });

  it("is not good for another length than its own, checked before or not", async () => {
    const blob = await put(bytes);
    await expect(store.verify({ ...blob, length: 1 })).rejects.toThrow(corrupt);
    const fresh = await openDiskStore(folder);
    await expect(fresh.verify({ ...blob, length: 1 })).rejects.toThrow(corrupt);
  });
});

/** Longer than many reads, so that a check of it can be met in the middle. */
const long = randomBytes(32 * 1024 * 1024);

describe.runIf(process.platform === "linux")("a blob that is being checked", () => {
  let blob: BlobAddress;
  /** Of a store that has checked nothing yet. */
  let fresh: BlobStore;
  beforeEach(async () => {
    blob = await put(long);
    fresh = await openDiskStore(folder);
  });

  /** Waits until so much of one open file was read by what goes on; gives all that are open then. */
  async function untilRead(length: number, work: Promise<unknown>) {
    let ended = false;
    const end = () => (ended = true);
    work.then(end, end);
    while (!ended) {
      const open = openFilesIn(folder);
      if (open.some(({ readSoFar }) => readSoFar >= length)) return open;
      await new Promise((next) => setImmediate(next));
    }
    throw new Error(`ended before ${length} bytes were read`);
  }

  /** What is seen open until something has ended. */
  async function openedBy(work: Promise<unknown>) {
    let ended = false;
    const end = () => (ended = true);
    work.then(end, end);
    const opened: OpenFile[] = [];
    while (!ended) {
      opened.push(...openFilesIn(folder));
      await new Promise((next) => setImmediate(next));
    }
    await work;
    return opened;
  }

  it("is not opened either before it was found good", async () => {
    const opening = fresh.open(blob.sha256);
    await untilRead(4_000_000, opening);
    changeByte(pathOf(blob), 1000);
    await expect(opening).rejects.toThrow(corrupt);
    expect(openFilesIn(folder)).toEqual([]);
    await put(long);
    const opened = await fresh.open(blob.sha256);
    await opened.close();
  });

  it("is read once for all who ask meanwhile, and for none of them again", async () => {
    const first = fresh.verify(blob);
    const asking = [first];
    for (const length of [1, 4_000_000, 16_000_000]) {
      expect(await untilRead(length, first)).toHaveLength(1);
      asking.push(...Array.from({ length: 5 }, () => fresh.verify(blob)));
    }
    expect(await untilRead(24_000_000, first)).toHaveLength(1);
    await Promise.all(asking);
    expect(await openedBy(fresh.verify(blob))).toEqual([]);
  });

  it("was just written, and is not read for that", async () => {
    expect(await openedBy(store.verify(blob))).toEqual([]);
  });

  it("is refused to all who ask meanwhile when it is damaged, and read again for the next", async () => {
    changeByte(pathOf(blob), 1000);
    const first = fresh.verify(blob);
    await untilRead(1, first);
    const asking = [first, fresh.verify(blob), fresh.verify(blob)];
    for (const asked of await Promise.allSettled(asking)) {
      expect(asked).toMatchObject({ status: "rejected", reason: { code: "BLOB_CORRUPT" } });
    }
    await put(long);
    await expect(fresh.verify(blob)).resolves.toBeUndefined();
  });

  it("is not good when it changes behind the place that the check has come to", async () => {
    const checking = fresh.verify(blob);
    await untilRead(4_000_000, checking);
    changeByte(pathOf(blob), 1000);
    await expect(checking).rejects.toThrow(corrupt);
  });
});

describe("opening a store", () => {
  it("clears what a dead process left half-written, and leaves a living one its own", async () => {
    const dead = spawn(process.execPath, ["-e", ""]);
    await once(dead, "exit");
    const leftover = join(folder, "staging", `${dead.pid}-leftover`);
    const living = join(folder, "staging", `${process.ppid}-at-work`);
    const own = join(folder, "staging", `${process.pid}-of-before`);
    for (const path of [leftover, living, own]) writeFileSync(path, "half");
    await openDiskStore(folder);
    expect([leftover, living, own].map((path) => existsSync(path))).toEqual([false, true, false]);
  });
});
