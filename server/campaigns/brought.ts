import { gte } from "semver";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";

/** A release as far as a vehicle shows that it has it. */
export interface BroughtRelease {
  ecu_type: string;
  version: string;
  hardware_versions: readonly string[];
}

/**
 * What a vehicle has of a campaign's releases: `all` that its ECUs can take, or newer ones; some are
 * `lacking`; `nothing` there is for its ECUs.
 */
export type Brought = "all" | "lacking" | "nothing";

/** What the ECUs of a vehicle show of a campaign's releases. */
export function broughtTo(
  ecus: readonly InventoryEcu[],
  releases: readonly BroughtRelease[],
): Brought {
  const fitting = releases.flatMap((release) =>
    ecus
      .filter((ecu) => ecu.ecu_type === release.ecu_type)
      .filter((ecu) => release.hardware_versions.includes(ecu.hardware_version))
      .map((ecu) => gte(ecu.software_version, release.version)),
  );
  if (fitting.length === 0) return "nothing";
  return fitting.every(Boolean) ? "all" : "lacking";
}
