import { SemVer } from "semver";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import type { Release } from "./release.ts";
import { isBelow, newestFirst, stepOf, type Step } from "./step.ts";

/** An ECU with what could be installed on it. */
export interface Slot {
  /** Its place in {@link Slots}. */
  index: number;
  ecu: InventoryEcu;
  installed: SemVer;
  /** Is anything published for its type? */
  hasReleases: boolean;
  /** Every newer release for its type, newest first. */
  newer: readonly Step[];
  /** Those of them that this vehicle may have at all, newest first. */
  usable: readonly Step[];
}

/** A vehicle as planning sees it. */
export interface Slots {
  /** In the order of the ECUs' ids. */
  all: readonly Slot[];
  byType: ReadonlyMap<string, readonly Slot[]>;
  /** By an ECU type, those with a release that requires something of it. */
  dependants: ReadonlyMap<string, readonly Slot[]>;
  channel: Release["channel"];
  /** What the plan is for; undefined: for whatever is newest. */
  only: ReadonlySet<string> | undefined;
}

export function slotsOf(
  inventory: readonly InventoryEcu[],
  catalogue: readonly Release[],
  channel: Release["channel"],
  only: ReadonlySet<string> | undefined,
): Slots {
  const releases = Map.groupBy(catalogue, ({ ecu_type }) => ecu_type);
  const types = new Set(inventory.map(({ ecu_type }) => ecu_type));
  const steps = new Map(
    [...types].map((type) => [type, (releases.get(type) ?? []).map(stepOf).sort(newestFirst)]),
  );
  const all = [...inventory]
    .sort((a, b) => (a.ecu_id < b.ecu_id ? -1 : 1))
    .map((ecu, index): Slot => {
      const installed = new SemVer(ecu.software_version);
      const ofType = steps.get(ecu.ecu_type) ?? [];
      const newer = ofType.filter(({ version }) => isBelow(installed, version));
      const usable = newer.filter(
        ({ release }) =>
          isForHardware(release, ecu) && isOnChannel(release, channel) && isOffered(release, only),
      );
      return { index, ecu, installed, hasReleases: ofType.length > 0, newer, usable };
    });
  const byType = Map.groupBy(all, ({ ecu }) => ecu.ecu_type);
  return { all, byType, dependants: dependantsIn(all), channel, only };
}

export function isForHardware(release: Release, { hardware_version }: InventoryEcu): boolean {
  return release.hardware_versions.includes(hardware_version);
}

/** A vehicle on beta takes stable releases too. */
export function isOnChannel(release: Release, channel: Release["channel"]): boolean {
  return channel === "beta" || release.channel === "stable";
}

export function isOffered(release: Release, only: ReadonlySet<string> | undefined): boolean {
  return release.availability === "channel" || (only?.has(release.firmware_id) ?? false);
}

function dependantsIn(slots: readonly Slot[]): Map<string, Slot[]> {
  const dependants = new Map<string, Slot[]>();
  for (const slot of slots) {
    const types = new Set<string>();
    for (const { requires } of slot.usable) {
      for (const { ecu_type } of requires) types.add(ecu_type);
    }
    for (const type of types) {
      const known = dependants.get(type);
      if (known) known.push(slot);
      else dependants.set(type, [slot]);
    }
  }
  return dependants;
}
