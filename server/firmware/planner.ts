import { lt } from "semver";
import type { BlockedReason } from "#protocol/api/ota.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import { routeFor, type Route } from "./goals.ts";
import { installOrder } from "./install-order.ts";
import { obstacleTo } from "./obstacle.ts";
import type { Release } from "./release.ts";
import { slotsOf, type Slots } from "./slot.ts";
import { isBelow } from "./step.ts";

export interface PlannedEcu {
  /** As it is when the bundle's turn comes. */
  ecu: InventoryEcu;
  /** What to install in this bundle. */
  release: Release;
  /** Where the plan brings the ECU; the release's own version when this is the last step. */
  newestVersion: string;
}

export interface BlockedEcu {
  ecu: InventoryEcu;
  reason: BlockedReason;
  detail: string;
}

/** An ECU that gets something, but not the newest. */
export interface HeldEcu extends BlockedEcu {
  /** The newest there is for its type. */
  newestVersion: string;
}

export interface Plan {
  /** The bundle to install now, in install order. */
  outdated: PlannedEcu[];
  /** What comes after it, each bundle only once a VCI has confirmed the one before. */
  later: readonly PlannedEcu[][];
  /** ECUs that get nothing although something newer exists, or may exist. */
  blocked: BlockedEcu[];
  held: HeldEcu[];
}

export interface PlanOptions {
  /**
   * Ids of the firmware that the plan is for, those offered by campaigns among them: of other
   * firmware it has only what these need, as steps or by requirement. By default the plan is for the
   * newest of all that is offered to everybody.
   */
  only?: ReadonlySet<string> | undefined;
}

/**
 * What a vehicle may install now and after that: for each ECU the newest release for its type and
 * hardware on the vehicle's channel that can be come to, by the fewest bundles, so that after each
 * of them all that its releases require is there. Never an older one. Everything that is held back
 * has its reason. Pure; the order of inventory and catalogue does not matter.
 */
export function plan(
  inventory: readonly InventoryEcu[],
  catalogue: readonly Release[],
  channel: Release["channel"],
  { only }: PlanOptions = {},
): Plan {
  const slots = slotsOf(inventory, catalogue, channel, only);
  const route = routeFor(slots);
  const [outdated = [], ...later] = plannedBundles(slots, route);
  return { outdated, later, ...heldBack(slots, route) };
}

/**
 * Of a bundle, these ECUs and those that have to be installed with them.
 * @param bundle from a plan, in whose order they stay
 */
export function partOf(bundle: readonly PlannedEcu[], ecuIds: readonly string[]): PlannedEcu[] {
  const part = new Set(bundle.filter(({ ecu }) => ecuIds.includes(ecu.ecu_id)));
  // What is added to a set while it is gone through is gone through, too.
  for (const { release } of part) {
    for (const { ecu_type, min_version } of release.requires) {
      for (const other of bundle) {
        if (other.ecu.ecu_type === ecu_type && lt(other.ecu.software_version, min_version)) {
          part.add(other);
        }
      }
    }
  }
  return bundle.filter((each) => part.has(each));
}

function plannedBundles(slots: Slots, route: Route): PlannedEcu[][] {
  const versions = slots.all.map(({ ecu }) => ecu.software_version);
  return route.bundles.map((bundle) => {
    const members: PlannedEcu[] = [];
    for (const [index, { release }] of bundle) {
      const slot = slots.all[index];
      const software_version = versions[index];
      if (slot === undefined || software_version === undefined) continue;
      const newestVersion = route.lastOf(slot)?.release.version ?? release.version;
      members.push({ ecu: { ...slot.ecu, software_version }, release, newestVersion });
      versions[index] = release.version;
    }
    return inInstallOrder(members);
  });
}

function inInstallOrder(members: readonly PlannedEcu[]): PlannedEcu[] {
  const order = installOrder(
    members.map(({ ecu, release: { requires } }) => ({ ...ecu, requires })),
  );
  return members
    .map((member, index) => ({ member, order: order[index] ?? 0 }))
    .sort((a, b) => a.order - b.order || (a.member.ecu.ecu_id < b.member.ecu.ecu_id ? -1 : 1))
    .map(({ member }) => member);
}

function heldBack(slots: Slots, route: Route): Pick<Plan, "blocked" | "held"> {
  const blocked: BlockedEcu[] = [];
  const held: HeldEcu[] = [];
  for (const slot of slots.all) {
    const { ecu } = slot;
    if (!slot.hasReleases && slots.only === undefined) {
      const detail = `nothing is published for ${ecu.ecu_type}`;
      blocked.push({ ecu, reason: "NO_FIRMWARE_FOR_TYPE", detail });
      continue;
    }
    const last = route.lastOf(slot);
    const end = last?.version ?? slot.installed;
    const missed = slot.newer.filter(
      ({ version, release }) =>
        isBelow(end, version) && (slots.only?.has(release.firmware_id) ?? true),
    );
    const obstacle = obstacleTo(slots, route.attempt(slot), slot, missed);
    const [newest] = missed;
    if (obstacle === undefined || newest === undefined) continue;
    if (last === undefined) blocked.push({ ecu, ...obstacle });
    else held.push({ ecu, newestVersion: newest.release.version, ...obstacle });
  }
  return { blocked, held };
}
