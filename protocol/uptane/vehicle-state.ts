import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import type { Assignment, ReleaseCounters } from "./assignment.ts";
import {
  restoreTrusted,
  StoredRepository,
  storeTrusted,
  trustRoot,
  type Checks,
  type TrustedRepository,
} from "./trusted.ts";
import { UptaneError } from "./uptane-error.ts";

/** The two repositories of Uptane. */
export type RepositoryName = "director" | "image";

/** All that a vehicle has to remember between two verifications. */
export interface VehicleState {
  readonly director: TrustedRepository;
  readonly image: TrustedRepository;
  readonly releaseCounters: ReleaseCounters;
}

/** The state of a new vehicle: the roots it was built with. @throws UptaneError */
export function newVehicleState(
  roots: Readonly<Record<RepositoryName, Uint8Array>>,
  checks: Omit<Checks, "now">,
): VehicleState {
  return {
    director: trustRoot(roots.director, checks),
    image: trustRoot(roots.image, checks),
    releaseCounters: new Map(),
  };
}

/** {@link ReleaseCounters} as JSON. */
export const ReleaseCountersRecord = Type.Record(
  Type.String({ pattern: "^[\\s\\S]*$" }),
  Type.Integer({ minimum: 0 }),
);

const StoredState = Type.Object({
  format: Type.Literal("latticeway-trust/1"),
  director: StoredRepository,
  image: StoredRepository,
  release_counters: ReleaseCountersRecord,
});
export type StoredState = Static<typeof StoredState>;
const checkStored = Compile(StoredState);

/** The state as JSON. */
export function storeVehicleState(state: VehicleState): StoredState {
  return {
    format: "latticeway-trust/1",
    director: storeTrusted(state.director),
    image: storeTrusted(state.image),
    release_counters: Object.fromEntries(state.releaseCounters),
  };
}

/** @throws UptaneError UPTANE_STATE_MALFORMED, or what is wrong with a root */
export function restoreVehicleState(stored: unknown, checks: Omit<Checks, "now">): VehicleState {
  if (!checkStored.Check(stored)) {
    throw new UptaneError("UPTANE_STATE_MALFORMED", "state", "not the state of a vehicle");
  }
  return {
    director: restoreTrusted(stored.director, checks),
    image: restoreTrusted(stored.image, checks),
    releaseCounters: new Map(Object.entries(stored.release_counters)),
  };
}

/** With what was assigned last: no ECU goes back behind it. */
export function withAssigned(
  counters: ReleaseCounters,
  assignments: readonly Assignment[],
): ReleaseCounters {
  const next = new Map(counters);
  for (const { ecu } of assignments) {
    const known = next.get(ecu.ecu_id) ?? 0;
    next.set(ecu.ecu_id, Math.max(known, ecu.release_counter ?? 0));
  }
  return next;
}
