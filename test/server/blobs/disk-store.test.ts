import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { beforeEach, describe, expect, it } from "vitest";
import type { BlobAddress, BlobStore } from "#server/blobs/blob-store.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { testFolder } from "#test/helpers/folder.ts";

let folder: string;
let store: BlobStore;
beforeEach(async () => {
  folder = testFolder();
  store = await openDiskStore(folder);
});

const bytes = randomBytes(300_000);
const pathOf = ({ sha256 }: BlobAddress) => join(folder, sha256.slice(0, 2), sha256.slice(2));
const staged = () => readdirSync(join(folder, "staging"));

async function put(content: Buffer): Promise<BlobAddress> {
  const blob = await store.stage();
  for (let at = 0; at < content.length; at += 65_536) {
    await blob.write(content.subarray(at, at + 65_536));
  }
  return blob.commit();
}

/** What a careful attacker does: other bytes, same length, times put back. */
function tamper(path: string): void {
  const { atime, mtime } = statSync(path);
  const content = readFileSync(path);
  content[1000] = (content[1000] ?? 0) ^ 1;
  writeFileSync(path, content);
  utimesSync(path, atime, mtime);
}

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

  it("is not touched by dropping what was committed", async () => {
    const blob = await store.stage();
    await blob.write(bytes);
    const address = await blob.commit();
    await blob.discard();
    await expect(store.verify(address)).resolves.toBeUndefined();
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
    "one bit of it, times put back": tamper,
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

    it("is good again once the right bytes are written again", async () => {
      const blob = await put(bytes);
      change(pathOf(blob));
      await expect(store.verify(blob)).rejects.toThrow(corrupt);
      await put(bytes);
      await expect(store.verify(blob)).resolves.toBeUndefined();
    });
  });

  it("is not good for another length than its own", async () => {
    const blob = await put(bytes);
    const fresh = await openDiskStore(folder);
    await expect(fresh.verify({ ...blob, length: 1 })).rejects.toThrow(corrupt);
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
