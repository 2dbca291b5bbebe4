import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Signer } from "#crypto/signing-keys.ts";
import type { Firmware } from "#protocol/api/firmware.ts";
import { isSignedBy } from "#protocol/package/signatures.ts";
import { packageLayout } from "#protocol/package/layout.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { createAssembler, type Assembler } from "#server/packages/assemble.ts";
import { packageBytes } from "#server/packages/stream.ts";
import { signingPair } from "#test/helpers/signing-pair.ts";
import { putBlob } from "#test/server/blobs/put-blob.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
let blobs: BlobStore;
let signers: Signer[];
let signings = 0;

beforeAll(async () => {
  own = await ownDatabase();
  blobs = await openDiskStore(join(own.folder, "blobs"));
  signers = countedSigners();
});
afterAll(() => own.remove());

function countedSigners(): Signer[] {
  return signingPair().map((signer) => ({
    ...signer,
    sign(bytes) {
      signings++;
      return signer.sign(bytes);
    },
  }));
}

const newAssembler = (): Assembler =>
  createAssembler({ db: own.db, blobs, signers: () => Promise.resolve(signers) });

async function firmware(ecu_type: string, bytes = randomBytes(100_000)): Promise<Firmware> {
  const { sha256, length } = await putBlob(blobs, bytes);
  return {
    firmware_id: `fw-${ecu_type}`,
    ecu_type,
    version: "1.0.0",
    hardware_versions: ["HW-1.0"],
    channel: "stable",
    build_number: null,
    min_current_version: null,
    requires: [],
    availability: "channel",
    critical: false,
    rxswin: null,
    release_notes: null,
    status: "active",
    publication: "published",
    size: 1,
    sha256: "0".repeat(64),
    compressed_size: length,
    compressed_sha256: sha256,
    created_at: new Date().toISOString(),
    archived_at: null,
  };
}

async function contents(seed: string) {
  return [
    { ecu_id: "ECU_001", zone_id: "ZG-FRONT", firmware: await firmware(`${seed}-a`) },
    { ecu_id: "ECU_002", zone_id: "ZG-REAR", firmware: await firmware(`${seed}-b`) },
  ];
}

describe("the assembler", () => {
  it("makes nothing of an image that is archived, nor hands out what it made before", async () => {
    const wanted = await contents("archived");
    const assembler = newAssembler();
    await assembler.packageOf(wanted);
    const [first, second] = wanted;
    if (first === undefined || second === undefined) throw new TypeError("two were made");
    const archived = { ...second, firmware: { ...second.firmware, status: "archived" as const } };
    await expect(assembler.packageOf([first, archived])).rejects.toMatchObject({
      code: "FIRMWARE_ARCHIVED",
    });
  });

  it("assembles once, however many ask at the same time, and in whatever order", async () => {
    const wanted = await contents("once");
    const assembler = newAssembler();
    signings = 0;
    const packages = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        assembler.packageOf(i % 2 === 0 ? wanted : wanted.toReversed()),
      ),
    );
    expect(signings).toBe(signers.length);
    for (const each of packages) expect(each).toEqual(packages[0]);
  });

  it("finds what another gateway on the same database has assembled, or was first with", async () => {
    const wanted = await contents("two");
    const [one, other] = await Promise.all([
      newAssembler().packageOf(wanted),
      newAssembler().packageOf(wanted),
    ]);
    expect(other).toEqual(one);
    expect(await newAssembler().packageOf(wanted)).toEqual(one);
  });

  it("signs a package anew once others sign packages, and keeps that", async () => {
    const wanted = await contents("rotated");
    const assembler = newAssembler();
    const before = await assembler.packageOf(wanted);
    signers = countedSigners();
    const [after, other] = await Promise.all([
      assembler.packageOf(wanted),
      newAssembler().packageOf(wanted),
    ]);
    expect(after.package_id).toBe(before.package_id);
    expect(after.sha256).not.toBe(before.sha256);
    expect(other).toEqual(after);
    expect(isSignedBy(after.signatures, signers)).toBe(true);
    expect(await newAssembler().packageOf(wanted)).toEqual(after);
  });

  it("refuses while a blob is damaged, and assembles once it is good again", async () => {
    const bytes = randomBytes(50_000);
    const wanted = [
      { ecu_id: "ECU_001", zone_id: "ZG-FRONT", firmware: await firmware("gone", bytes) },
    ];
    const missing = [
      {
        ...wanted[0],
        firmware: { ...wanted[0]?.firmware, compressed_sha256: "1".repeat(64) },
      },
    ] as typeof wanted;
    const assembler = newAssembler();
    await expect(assembler.packageOf(missing)).rejects.toMatchObject({ code: "BLOB_CORRUPT" });
    await expect(assembler.packageOf(missing)).rejects.toMatchObject({ code: "BLOB_CORRUPT" });
    await expect(assembler.packageOf(wanted)).resolves.toMatchObject({ zones: [{}] });
  });

  it("gives the same bytes for any range of the package", async () => {
    const found = await newAssembler().packageOf(await contents("range"));
    const layout = packageLayout(found.manifest, found.signatures);
    const read = async (start: number, end: number) => {
      const parts: Buffer[] = [];
      // A chunk is valid only until the next one is asked for.
      for await (const chunk of packageBytes(layout, blobs, { start, end }))
        parts.push(Buffer.from(chunk));
      return Buffer.concat(parts);
    };
    const whole = await read(0, found.size);
    expect(whole).toHaveLength(found.size);
    for (let i = 0; i < 200; i++) {
      const [from = 0, to = 0] = [randomBytes(4), randomBytes(4)]
        .map((each) => each.readUInt32BE() % (found.size + 1))
        .toSorted((a, b) => a - b);
      expect((await read(from, to)).equals(whole.subarray(from, to))).toBe(true);
    }
  });
});
