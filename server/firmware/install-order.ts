import type { Requirement } from "./release.ts";

/** What is installed on an ECU, as far as the order goes. */
export interface Installation {
  ecu_id: string;
  zone_id: string;
  ecu_type: string;
  requires: readonly Requirement[];
}

/** The type that a zonal gateway may say of itself (DID F197). */
const ZONAL_GATEWAY = "zonal-gateway";

/** An ECU is the gateway of its zone when it bears the zone's id, or says that it is one. */
export function isZonalGateway({
  ecu_id,
  zone_id,
  ecu_type,
}: Omit<Installation, "requires">): boolean {
  return ecu_id === zone_id || ecu_type === ZONAL_GATEWAY;
}

/**
 * The order of each of the installations of one bundle, from 0: zonal gateways first, as what they
 * pass on is what they run; then what is required before what requires it. What has the same order
 * does not wait for each other; releases that require each other are such. It follows from what is
 * installed alone, so that vehicles with the same bundle have the same package.
 */
export function installOrder(installations: readonly Installation[]): number[] {
  const gateways = installations.filter(isZonalGateway);
  const others = installations.filter((each) => !isZonalGateway(each));
  const ofGateways = depths(gateways);
  const ofOthers = depths(others);
  const start = Math.max(-1, ...ofGateways.values()) + 1;
  return installations.map((each) =>
    isZonalGateway(each)
      ? (ofGateways.get(each.ecu_type) ?? 0)
      : start + (ofOthers.get(each.ecu_type) ?? 0),
  );
}

/** By type, how many others are to come before it, one after the other. */
function depths(installations: readonly Installation[]): Map<string, number> {
  const byType = Map.groupBy(installations, ({ ecu_type }) => ecu_type);
  const required = new Map(
    [...byType].map(([type, same]) => {
      const types = same.flatMap(({ requires }) => requires.map(({ ecu_type }) => ecu_type));
      return [type, [...new Set(types)].filter((other) => byType.has(other))];
    }),
  );
  const reached = new Map([...byType.keys()].map((type) => [type, reachedFrom(type, required)]));
  const known = new Map<string, number>();
  const depthOf = (type: string): number => {
    const depth = known.get(type);
    if (depth !== undefined) return depth;
    const before = [...(reached.get(type) ?? [])].filter(
      (other) => !(reached.get(other)?.has(type) ?? false),
    );
    const found = Math.max(-1, ...before.map(depthOf)) + 1;
    known.set(type, found);
    return found;
  };
  for (const type of byType.keys()) depthOf(type);
  return known;
}

function reachedFrom(type: string, required: ReadonlyMap<string, readonly string[]>): Set<string> {
  const found = new Set<string>();
  const open = [...(required.get(type) ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    open.push(...(required.get(next) ?? []));
  }
  return found;
}
