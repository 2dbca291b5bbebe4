import { plan, type Plan } from "#server/firmware/planner.ts";
import type { ReleaseBook } from "#server/firmware/release-book.ts";
import type { Policy } from "#server/policies/policy.ts";
import { boundedCache } from "#server/runtime/bounded-cache.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import type { Inventory } from "#server/vehicles/inventory.ts";
import type { Offer, OfferSource } from "./offer.ts";

/** What a vehicle may install now, and the campaign that brings it, if one does. */
export interface VehiclePlan {
  plan: Plan;
  offer: Offer | undefined;
}

/** A vehicle that has said what it consists of. */
export type PlannedVehicle = TargetVehicle & { inventory: Inventory };

/** A plan, for whom it is, and under which conditions. */
export interface CheckedPlan extends VehiclePlan {
  vehicle: PlannedVehicle;
  policy: Policy;
}

/** What an operator's command is about; all when nothing is said. */
export interface Narrowing {
  ecu_type?: string;
  version?: string;
}

export interface Plans {
  /** @param state what the database brought for the source of the offers */
  planFor(vehicle: PlannedVehicle, state: unknown, now: Date, narrowing?: Narrowing): VehiclePlan;
}

export interface PlansDeps {
  releases: Pick<ReleaseBook, "current">;
  offers: OfferSource;
}

/** Plans that are kept: far more than a fleet has kinds of vehicles at a time. */
const MAX_PLANS = 20_000;

/**
 * Plans for vehicles; those that are alike share a plan, so that a check-in costs a look-up. The
 * first campaign that has something to install for a vehicle has it for itself; where none has, the
 * vehicle gets what its channel offers.
 */
export function createPlans({ releases, offers }: PlansDeps): Plans {
  const known = boundedCache<string, Plan>(MAX_PLANS);
  let revision = -1;

  function shared(vehicle: PlannedVehicle, only?: readonly string[]) {
    const current = releases.current();
    if (current.revision !== revision) known.clear();
    ({ revision } = current);
    const { inventory, channel } = vehicle;
    const key = [inventory.inventory_id, channel, ...(only ?? [])].join(" ");
    const before = known.get(key);
    if (before) return before;
    const catalogue = releasesFor(inventory, current);
    const made = plan(inventory.ecus, catalogue, channel, only && { only: new Set(only) });
    known.set(key, made);
    return made;
  }

  return {
    planFor(vehicle, state, now, narrowing = {}) {
      const current = releases.current();
      const isNarrowed = narrowing.ecu_type !== undefined || narrowing.version !== undefined;
      const meant = (ids: readonly string[]) =>
        isNarrowed ? ids.filter((id) => isMeant(id, narrowing, current)) : ids;
      for (const offer of offers.offers(vehicle, state, now)) {
        const wanted = meant(offer.releases);
        if (wanted.length === 0) continue;
        const made = shared(vehicle, wanted);
        if (made.outdated.length > 0) return { plan: made, offer };
      }
      if (!isNarrowed) return { plan: shared(vehicle), offer: undefined };
      const open = releasesFor(vehicle.inventory, current)
        .filter(({ availability }) => availability === "channel")
        .map(({ firmware_id }) => firmware_id);
      return { plan: shared(vehicle, meant(open)), offer: undefined };
    },
  };
}

function isMeant(
  firmwareId: string,
  { ecu_type, version }: Narrowing,
  { byId }: ReturnType<ReleaseBook["current"]>,
): boolean {
  const release = byId.get(firmwareId);
  return (
    release !== undefined &&
    (ecu_type ?? release.ecu_type) === release.ecu_type &&
    (version ?? release.version) === release.version
  );
}

function releasesFor({ ecus }: Inventory, { byType }: ReturnType<ReleaseBook["current"]>) {
  const types = new Set(ecus.map(({ ecu_type }) => ecu_type));
  return [...types].flatMap((type) => byType.get(type) ?? []);
}
