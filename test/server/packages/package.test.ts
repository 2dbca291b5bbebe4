import { expect, test } from "vitest";
import type { Firmware } from "#protocol/api/firmware.ts";
import { parseManifest } from "#protocol/package/manifest.ts";
import { manifestFor, type PackageContent } from "#server/packages/package.ts";

function content(
  ecu_id: string,
  zone_id: string,
  ecu_type: string,
  requires: Firmware["requires"] = [],
): PackageContent {
  return {
    ecu_id,
    zone_id,
    firmware: {
      firmware_id: `fw-${ecu_type}`,
      ecu_type,
      version: "2.0.0",
      hardware_versions: ["HW-1.0"],
      channel: "stable",
      build_number: null,
      min_current_version: null,
      requires,
      availability: "channel",
      critical: false,
      rxswin: null,
      release_notes: null,
      status: "active",
      publication: "published",
      size: 1,
      sha256: "0".repeat(64),
      compressed_size: 1,
      compressed_sha256: "0".repeat(64),
      created_at: "2026-01-01T00:00:00Z",
      archived_at: null,
    },
  };
}

test("a manifest has zonal gateways first, then what is required before what requires it", () => {
  const contents = [
    content("ECU_001", "ZG-A", "brake", [{ ecu_type: "radio", min_version: "2.0.0" }]),
    content("ECU_002", "ZG-A", "lights"),
    content("ECU_003", "ZG-B", "radio"),
    content("ZG-B", "ZG-B", "gateway"),
  ];
  for (const each of [contents, contents.toReversed()]) {
    const { zones } = parseManifest(manifestFor(each));
    expect(
      zones.map(({ ecus }) => ecus.map(({ ecu_id, install_order }) => [ecu_id, install_order])),
    ).toEqual([
      [
        ["ZG-B", 0],
        ["ECU_003", 1],
      ],
      [
        ["ECU_002", 1],
        ["ECU_001", 2],
      ],
    ]);
  }
});
