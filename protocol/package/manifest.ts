import { createHash } from "node:crypto";
import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import { canonicalJson, parseCanonicalJson } from "#protocol/uptane/canonical-json.ts";
import { PackageError } from "./package-error.ts";

const MANIFEST_FORMAT = "latticeway-package/1";

/** A manifest of about 2,000 ECUs. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;

/** The largest size that a ustar header can state: 8 GiB - 1. */
const MAX_FILE_BYTES = 0o77777777777;
const MAX_ZONES = 64;
const MAX_ECUS_PER_ZONE = 256;

/** Names become path segments, so one that is nothing but dots is none. */
const Name = Type.String({ pattern: "^(?!\\.+$)[A-Za-z0-9._-]{1,64}$" });
const Version = Type.String({ pattern: "^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$" });
const Sha256 = Type.String({ pattern: "^[0-9a-f]{64}$" });
const FileLength = Type.Integer({ minimum: 1, maximum: MAX_FILE_BYTES });
const closed = { additionalProperties: false };

/** One ECU's image: `length` and `sha256` are of the compressed file, `image` of what is inside. */
export const ManifestEcu = Type.Object(
  {
    ecu_id: Name,
    ecu_type: Name,
    firmware_id: Name,
    version: Version,
    critical: Type.Boolean(),
    install_order: Type.Integer({ minimum: 0, maximum: 65_535 }),
    path: Type.String({ maxLength: 256 }),
    encoding: Type.Literal("zstd"),
    length: FileLength,
    sha256: Sha256,
    image: Type.Object({ length: FileLength, sha256: Sha256 }, closed),
  },
  closed,
);
export type ManifestEcu = Static<typeof ManifestEcu>;

export const ManifestZone = Type.Object(
  {
    zone_id: Name,
    ecus: Type.Array(ManifestEcu, { minItems: 1, maxItems: MAX_ECUS_PER_ZONE }),
  },
  closed,
);
export type ManifestZone = Static<typeof ManifestZone>;

/** What is inside a package, per zonal gateway and ECU, in the order of the file. */
export const Manifest = Type.Object(
  {
    format: Type.Literal(MANIFEST_FORMAT),
    zones: Type.Array(ManifestZone, { minItems: 1, maxItems: MAX_ZONES }),
  },
  closed,
);
export type Manifest = Static<typeof Manifest>;

/**
 * The bytes of `manifest.json`: canonical JSON, zones and ECUs by install order, then by id. The
 * same content gives the same bytes, whatever order it comes in.
 * @throws PackageError PACKAGE_MANIFEST_*
 */
export function encodeManifest(zones: readonly ManifestZone[]): Buffer {
  const sorted = zones
    .map((zone) => ({ ...zone, ecus: [...zone.ecus].sort(byInstallOrder) }))
    .sort(byFirstInstallOrder);
  const bytes = canonicalJson({ format: MANIFEST_FORMAT, zones: sorted });
  parseManifest(bytes);
  return bytes;
}

/**
 * Reads `manifest.json`. There is one way only to write a manifest; anything else is refused.
 * @throws PackageError PACKAGE_MANIFEST_*
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new PackageError(
      "PACKAGE_MANIFEST_TOO_LARGE",
      `manifest.json has ${bytes.length} bytes, ${MAX_MANIFEST_BYTES} are allowed`,
    );
  }
  const manifest = parseCanonicalJson(bytes);
  if (manifest === undefined) {
    throw new PackageError("PACKAGE_MANIFEST_NOT_CANONICAL", "manifest.json is not canonical JSON");
  }
  if (!checkManifest.Check(manifest)) {
    const [first] = checkManifest.Errors(manifest);
    throw new PackageError(
      "PACKAGE_MANIFEST_MALFORMED",
      `manifest.json: ${first?.instancePath ?? ""} ${first?.message ?? ""}`,
    );
  }
  checkUnique(manifest);
  checkOrder(manifest);
  return manifest;
}

/** `pkg-` and half of the manifest's SHA-256: the same plan makes the same package. */
export function packageId(manifestBytes: Uint8Array): string {
  return `pkg-${createHash("sha256").update(manifestBytes).digest("hex").slice(0, 32)}`;
}

/** Where an ECU's image lies in the package. */
export function imagePath(zoneId: string, ecuId: string, version: string): string {
  return `zones/${zoneId}/${ecuId}-${version}.bin.zst`;
}

const checkManifest = Compile(Manifest);

function checkUnique(manifest: Manifest): void {
  const zones = new Set<string>();
  const ecus = new Set<string>();
  const paths = new Set<string>();
  const add = (set: Set<string>, what: string, value: string) => {
    if (set.has(value)) {
      throw new PackageError("PACKAGE_MANIFEST_DUPLICATE", `two entries for ${what} ${value}`);
    }
    set.add(value);
  };
  for (const zone of manifest.zones) {
    add(zones, "zone", zone.zone_id);
    for (const ecu of zone.ecus) {
      add(ecus, "ECU", ecu.ecu_id);
      const path = imagePath(zone.zone_id, ecu.ecu_id, ecu.version);
      if (ecu.path !== path) {
        throw new PackageError(
          "PACKAGE_MANIFEST_PATH",
          `ECU ${ecu.ecu_id} is at ${JSON.stringify(ecu.path)} instead of ${path}`,
        );
      }
      // `a` in version `1-2` and `a-1` in version `2` would share a file.
      add(paths, "path", path);
    }
  }
}

function checkOrder(manifest: Manifest): void {
  const inOrder =
    isSorted(manifest.zones, byFirstInstallOrder) &&
    manifest.zones.every((zone) => isSorted(zone.ecus, byInstallOrder));
  if (!inOrder) {
    throw new PackageError(
      "PACKAGE_MANIFEST_ORDER",
      "zones and ECUs must be sorted by install order, then by id",
    );
  }
}

function isSorted<T>(items: readonly T[], compare: (a: T, b: T) => number): boolean {
  return items.every((item, index) => {
    const previous = items[index - 1];
    return previous === undefined || compare(previous, item) <= 0;
  });
}

function byInstallOrder(a: ManifestEcu, b: ManifestEcu): number {
  return a.install_order - b.install_order || compareText(a.ecu_id, b.ecu_id);
}

function byFirstInstallOrder(a: ManifestZone, b: ManifestZone): number {
  return firstInstallOrder(a) - firstInstallOrder(b) || compareText(a.zone_id, b.zone_id);
}

function firstInstallOrder(zone: ManifestZone): number {
  return Math.min(...zone.ecus.map((ecu) => ecu.install_order));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
