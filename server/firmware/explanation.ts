import type { NotOfferedReason } from "#protocol/api/ota.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import { courseOf } from "./course.ts";
import { routeFor, type Route } from "./goals.ts";
import { obstaclesTo } from "./obstacle.ts";
import type { PlanOptions } from "./planner.ts";
import type { Release } from "./release.ts";
import { slotsOf, type Slot, type Slots } from "./slot.ts";
import { isBelow, type Step } from "./step.ts";

/** What becomes of a release on one ECU. */
export type ReleaseVerdict =
  | { offer: "now" }
  /** Once this many bundles are installed and confirmed. */
  | { offer: "later"; after_bundles: number }
  | { offer: "installed" }
  | { offer: "newer_installed" }
  | { offer: "none"; reasons: { reason: NotOfferedReason; detail: string }[] };

export interface ReleaseExplanation {
  release: Release;
  /** Every ECU of the release's type, in the order of their ids. */
  ecus: ({ ecu: InventoryEcu } & ReleaseVerdict)[];
}

/**
 * Why a vehicle gets a release, or each reason why not, by the same plan that it is offered.
 * @param options as of `plan`
 * @returns undefined when the release is not in the catalogue: archived, or not published
 */
export function explainRelease(
  inventory: readonly InventoryEcu[],
  catalogue: readonly Release[],
  channel: Release["channel"],
  releaseId: string,
  { only }: PlanOptions = {},
): ReleaseExplanation | undefined {
  const release = catalogue.find(({ firmware_id }) => firmware_id === releaseId);
  if (release === undefined) return undefined;
  const slots = slotsOf(inventory, catalogue, channel, only);
  const route = routeFor(slots);
  const ofType = slots.byType.get(release.ecu_type) ?? [];
  return {
    release,
    ecus: ofType.map((slot) => ({ ecu: slot.ecu, ...verdictOn(slots, route, slot, release) })),
  };
}

function verdictOn(slots: Slots, route: Route, slot: Slot, release: Release): ReleaseVerdict {
  const { software_version } = slot.ecu;
  if (release.version === software_version) return { offer: "installed" };
  const step = slot.newer.find((newer) => newer.release === release);
  if (step === undefined) {
    if (!isSameVersion(slot, release)) return { offer: "newer_installed" };
    const detail = `${software_version} is installed, and builds of a version replace none`;
    return { offer: "none", reasons: [{ reason: "OTHER_BUILD_INSTALLED", detail }] };
  }
  const place = route.bundles.findIndex((bundle) => bundle.get(slot.index) === step);
  if (place === 0) return { offer: "now" };
  if (place > 0) return { offer: "later", after_bundles: place };
  return { offer: "none", reasons: reasonsAgainst(slots, route, slot, step) };
}

function isSameVersion({ installed }: Slot, { version }: Release): boolean {
  return installed.compare(version) === 0;
}

function reasonsAgainst(slots: Slots, route: Route, slot: Slot, step: Step) {
  // What it fails at when nothing else is wanted of the vehicle, so that no newer one hides it.
  const alone = courseOf(slots, new Map([[slot.index, step]]));
  const reasons: { reason: NotOfferedReason; detail: string }[] = [
    ...obstaclesTo(slots, alone, slot, step),
  ];
  const last = route.lastOf(slot);
  if (last && !isBelow(last.version, step.version)) {
    const detail = `${last.release.version} is offered instead`;
    reasons.push({ reason: "NEWER_OFFERED", detail });
  } else if (slots.only && !slots.only.has(step.release.firmware_id)) {
    const detail = `what is offered now does not need ${step.release.version}`;
    reasons.push({ reason: "NOT_NEEDED", detail });
  } else if (reasons.length === 0) {
    reasons.push(...obstaclesTo(slots, route.attempt(slot), slot, step));
  }
  return reasons;
}
