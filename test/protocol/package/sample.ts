import { createHash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import { packageLayout, type PackageLayout, type Segment } from "#protocol/package/layout.ts";
import {
  encodeManifest,
  imagePath,
  type ManifestEcu,
  type ManifestZone,
} from "#protocol/package/manifest.ts";
import { signManifest } from "#protocol/package/signatures.ts";
import { keyRecord, trustKeys, type TrustedKeys } from "#protocol/uptane/key.ts";

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Bytes that look random and are the same in every run. */
export function imageBytes(length: number, seed: string): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) {
    blocks.push(createHash("sha256").update(`${seed}:${i}`).digest());
  }
  return Buffer.concat(blocks).subarray(0, length);
}

export interface SampleEcu {
  zone_id: string;
  ecu_id: string;
  version: string;
  install_order: number;
  image: Buffer;
}

export const SAMPLE_ECUS: SampleEcu[] = [
  {
    zone_id: "ZG-REAR",
    ecu_id: "ECU_003",
    version: "1.0.1",
    install_order: 2,
    image: imageBytes(512, "c"),
  },
  {
    zone_id: "ZG-FRONT",
    ecu_id: "ECU_002",
    version: "2.0.0-rc.1+b5",
    install_order: 1,
    image: imageBytes(700, "b"),
  },
  {
    zone_id: "ZG-FRONT",
    ecu_id: "ECU_001",
    version: "1.2.3",
    install_order: 1,
    image: imageBytes(5000, "a"),
  },
];

export interface Sample {
  signers: Signer[];
  keys: TrustedKeys;
  /** Compressed files by SHA-256. */
  blobs: Map<string, Buffer>;
  images: Map<string, Buffer>;
  zones: ManifestZone[];
  manifest: Buffer;
  signatures: Buffer;
  layout: PackageLayout;
  bytes: Buffer;
}

export function sampleZones(ecus: SampleEcu[], blobs = new Map<string, Buffer>()): ManifestZone[] {
  const zones = new Map<string, ManifestEcu[]>();
  for (const { zone_id, ecu_id, version, install_order, image } of ecus) {
    const file = zstdCompressSync(image);
    blobs.set(sha256(file), file);
    const entries = zones.get(zone_id) ?? [];
    zones.set(zone_id, entries);
    entries.push({
      ecu_id,
      ecu_type: "brake-controller",
      firmware_id: `fw-${ecu_id}`,
      version,
      critical: false,
      install_order,
      path: imagePath(zone_id, ecu_id, version),
      encoding: "zstd",
      length: file.length,
      sha256: sha256(file),
      image: { length: image.length, sha256: sha256(image) },
    });
  }
  return [...zones].map(([zone_id, entries]) => ({ zone_id, ecus: entries }));
}

/** A whole signed package in memory. */
export async function samplePackage(ecus: SampleEcu[] = SAMPLE_ECUS): Promise<Sample> {
  const signers = (["ecdsa-p256", "ml-dsa-65"] as const).map((algorithm) =>
    keySigner(algorithm, generateKeys(algorithm).privateKey),
  );
  const blobs = new Map<string, Buffer>();
  const zones = sampleZones(ecus, blobs);
  const manifest = encodeManifest(zones);
  const signatures = await signManifest(manifest, signers);
  const layout = packageLayout(manifest, signatures);
  return {
    signers,
    keys: trustKeys(signers.map((signer) => keyRecord(signer.publicKey))),
    blobs,
    images: new Map(ecus.map(({ ecu_id, image }) => [ecu_id, image])),
    zones,
    manifest,
    signatures,
    layout,
    bytes: concatenate(layout.segments, blobs),
  };
}

export function concatenate(segments: Segment[], blobs: Map<string, Buffer>): Buffer {
  return Buffer.concat(
    segments.map((segment) => {
      if (segment.kind === "bytes") return segment.bytes;
      const blob = blobs.get(segment.sha256);
      if (blob === undefined) throw new Error(`no blob ${segment.sha256}`);
      return blob.subarray(segment.offset, segment.offset + segment.length);
    }),
  );
}

/** A stream of the bytes in chunks of one size. */
export async function* chunked(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const collected: Uint8Array[] = [];
  for await (const chunk of chunks) collected.push(chunk);
  return Buffer.concat(collected);
}
