import { compareBuild, gt, gte } from "semver";
import type { BlockedReason } from "#protocol/api/ota.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import type { Release } from "./release.ts";

export type { Release } from "./release.ts";

export interface PlannedEcu {
  ecu: InventoryEcu;
  /** What to install now. */
  release: Release;
  /** Where the chain of steps ends; the release's own version when this is the last step. */
  newestVersion: string;
}

export interface BlockedEcu {
  ecu: InventoryEcu;
  reason: BlockedReason;
  detail: string;
}

export interface Plan {
  outdated: PlannedEcu[];
  blocked: BlockedEcu[];
}

/**
 * What a vehicle may install now: for each ECU the newest release for its type and hardware on the
 * vehicle's channel that its version may step to, never an older one, and a reason for each ECU
 * that something newer is held back from. Pure; the order of the catalogue does not matter.
 */
export function plan(
  inventory: readonly InventoryEcu[],
  catalogue: readonly Release[],
  channel: "stable" | "beta",
): Plan {
  const byType = Map.groupBy(catalogue, ({ ecu_type }) => ecu_type);
  const result: Plan = { outdated: [], blocked: [] };
  for (const ecu of inventory) {
    const verdict = planEcu(ecu, byType.get(ecu.ecu_type) ?? [], channel);
    if (verdict === undefined) continue;
    if ("release" in verdict) result.outdated.push(verdict);
    else result.blocked.push(verdict);
  }
  return result;
}

function planEcu(
  ecu: InventoryEcu,
  releases: readonly Release[],
  channel: "stable" | "beta",
): PlannedEcu | BlockedEcu | undefined {
  const current = ecu.software_version;
  if (releases.length === 0) {
    return {
      ecu,
      reason: "NO_FIRMWARE_FOR_TYPE",
      detail: `nothing is published for ${ecu.ecu_type}`,
    };
  }
  const newer = releases.filter(({ version }) => gt(version, current));
  if (newer.length === 0) return undefined;

  const forHardware = newer.filter((release) =>
    release.hardware_versions.includes(ecu.hardware_version),
  );
  if (forHardware.length === 0) {
    const detail = `${newest(newer).version} is not for hardware ${ecu.hardware_version}`;
    return { ecu, reason: "NO_FIRMWARE_FOR_HARDWARE", detail };
  }
  const allowed = forHardware.filter((release) => isAllowed(release, channel));
  if (allowed.length === 0) {
    const { version, channel: on } = newest(forHardware);
    return {
      ecu,
      reason: "CHANNEL_NOT_ALLOWED",
      detail: `${version} is on ${on}, the vehicle follows ${channel}`,
    };
  }
  const release = nextStep(current, allowed);
  if (release === undefined) {
    const { version, min_current_version } = newest(allowed);
    return {
      ecu,
      reason: "STEP_MISSING",
      detail: `${version} needs at least ${min_current_version}, this is ${current}`,
    };
  }
  return { ecu, release, newestVersion: endOfChain(release, allowed) };
}

/** A vehicle on beta takes stable releases too. */
function isAllowed(release: Release, channel: "stable" | "beta"): boolean {
  return channel === "beta" || release.channel === "stable";
}

/**
 * The newest release that `version` may step to. A minimum is only ever a lower bound, so the
 * highest step opens at least the releases that any lower one would.
 */
function nextStep(version: string, releases: readonly Release[]): Release | undefined {
  const steps = releases.filter(
    (release) =>
      gt(release.version, version) &&
      (release.min_current_version === null || gte(version, release.min_current_version)),
  );
  return steps.length === 0 ? undefined : newest(steps);
}

function endOfChain(first: Release, releases: readonly Release[]): string {
  let at = first;
  for (let next = nextStep(at.version, releases); next; next = nextStep(at.version, releases))
    at = next;
  return at.version;
}

/** Builds of one version (SemVer §10) have an order too, so that the catalogue's does not matter. */
function newest(releases: readonly Release[]): Release {
  return releases.reduce((best, release) =>
    compareBuild(release.version, best.version) > 0 ? release : best,
  );
}
