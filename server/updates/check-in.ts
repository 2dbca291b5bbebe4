import type { CheckAnswer } from "#protocol/api/ota.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import type { ReleaseBook } from "#server/firmware/release-book.ts";
import type { PolicyBook } from "#server/policies/policy-book.ts";
import { boundedCache } from "#server/runtime/bounded-cache.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import { inventoryOf, type Inventory, type InventoryEcu } from "#server/vehicles/inventory.ts";
import { checkAnswer } from "./answer.ts";
import { checkedIn, inventoryById, type CheckedIn } from "./check-in-queries.ts";
import {
  createPlans,
  type CheckedPlan,
  type Narrowing,
  type PlannedVehicle,
  type PlansDeps,
} from "./plans.ts";

/** What a vehicle is told when it asks. */
export interface CheckIns {
  /**
   * Compares what a vehicle consists of with what it may have; stores nothing.
   * @param ecus as the vehicle says now; without them as its newest VCI said
   * @throws ProblemError VCI_MISSING
   */
  check(vin: string, ecus: readonly InventoryEcu[] | undefined): Promise<CheckAnswer>;
  /**
   * The plan for a vehicle with these ECUs.
   */
  planFor(vin: string, ecus: readonly InventoryEcu[], narrowing?: Narrowing): Promise<CheckedPlan>;
  /** Reads what has changed in the catalogue. */
  refresh(): Promise<void>;
}

/** Inventories that are kept: far more than a fleet has kinds of vehicles at a time. */
const MAX_INVENTORIES = 20_000;

export interface CheckInDeps extends PlansDeps {
  db: Db;
  releases: Pick<ReleaseBook, "current" | "refresh">;
  policies: Pick<PolicyBook, "policyFor">;
}

export function createCheckIns(deps: CheckInDeps): CheckIns {
  const { db, releases, offers, policies } = deps;
  const plans = createPlans(deps);
  const inventories = boundedCache<string, Inventory>(MAX_INVENTORIES);

  async function inventoryWith(id: string): Promise<Inventory> {
    const known = inventories.get(id) ?? (await inventoryById(db, id));
    inventories.set(id, known);
    return known;
  }

  function planned(
    found: CheckedIn | undefined,
    vin: string,
    inventory: Inventory,
    narrowing?: Narrowing,
  ): CheckedPlan {
    const vehicle: PlannedVehicle = { ...(found?.vehicle ?? stranger(vin)), inventory };
    const policy = policies.policyFor(vehicle);
    return { vehicle, policy, ...plans.planFor(vehicle, found?.state, new Date(), narrowing) };
  }

  async function planFor(vin: string, ecus: readonly InventoryEcu[], narrowing?: Narrowing) {
    return planned(await checkedIn(db, vin, offers), vin, inventoryOf(ecus), narrowing);
  }

  return {
    planFor,
    refresh: () => releases.refresh(),
    async check(vin, ecus) {
      if (ecus) return checkAnswer(await planFor(vin, ecus));
      const found = await checkedIn(db, vin, offers);
      const id = found?.vehicle.inventory_id;
      if (id === undefined || id === null) throw new ProblemError("VCI_MISSING", vin);
      return checkAnswer(planned(found, vin, await inventoryWith(id)));
    },
  };
}

/** One that has not registered may look at what its channel would offer. */
function stranger(vin: string): Omit<TargetVehicle, "inventory"> {
  return {
    vin,
    model: null,
    region: null,
    channel: "stable",
    tags: [],
    profile: null,
    time_zone: null,
    registered_at: new Date(),
  };
}
