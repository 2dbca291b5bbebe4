import type { Firmware } from "#protocol/api/firmware.ts";
import { encodeManifest, imagePath, type ManifestZone } from "#protocol/package/manifest.ts";
import type { ZoneRange } from "#protocol/package/layout.ts";
import { installOrder } from "#server/firmware/install-order.ts";

/** A package that is ready to be sent: its two metadata files, and what they add up to. */
export interface PackageFile {
  package_id: string;
  manifest: Buffer;
  signatures: Buffer;
  /** Bytes of the whole file. */
  size: number;
  /** Of the whole file, lower-case hex. */
  sha256: string;
}

/** As it is signed now, with where the files of each zone lie in it. */
export interface Package extends PackageFile {
  zones: ZoneRange[];
}

/** What goes into a package for one ECU. */
export interface PackageContent {
  ecu_id: string;
  zone_id: string;
  firmware: Firmware;
}

/**
 * The manifest for a set of ECUs: nothing in it belongs to one vehicle, so that all vehicles with
 * the same plan get the same bytes. Zonal gateways are installed first, then what is required before
 * what requires it.
 */
export function manifestFor(contents: readonly PackageContent[]): Buffer {
  const orders = installOrder(
    contents.map(({ firmware: { ecu_type, requires }, ...ecu }) => ({
      ...ecu,
      ecu_type,
      requires,
    })),
  );
  const ordered = contents.map((content, index) => ({ ...content, order: orders[index] ?? 0 }));
  const byZone = Map.groupBy(ordered, ({ zone_id }) => zone_id);
  const zones: ManifestZone[] = [...byZone].map(([zone_id, entries]) => ({
    zone_id,
    ecus: entries.map(({ ecu_id, firmware, order }) => ({
      ecu_id,
      ecu_type: firmware.ecu_type,
      firmware_id: firmware.firmware_id,
      version: firmware.version,
      critical: firmware.critical,
      install_order: order,
      path: imagePath(zone_id, ecu_id, firmware.version),
      encoding: "zstd",
      length: firmware.compressed_size,
      sha256: firmware.compressed_sha256,
      image: { length: firmware.size, sha256: firmware.sha256 },
    })),
  }));
  return encodeManifest(zones);
}
