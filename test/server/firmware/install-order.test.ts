import { describe, expect, it } from "vitest";
import { installOrder, isZonalGateway, type Installation } from "#server/firmware/install-order.ts";

function installation(
  ecu_id: string,
  requires: readonly string[] = [],
  change: Partial<Installation> = {},
): Installation {
  return {
    ecu_id,
    zone_id: "ZG",
    ecu_type: ecu_id,
    requires: requires.map((ecu_type) => ({ ecu_type, min_version: "1.0.0" })),
    ...change,
  };
}

const gateway = (ecu_id: string, requires: readonly string[] = []) =>
  installation(ecu_id, requires, { zone_id: ecu_id });

describe("install order", () => {
  it("is the same for all that do not need each other", () => {
    expect(installOrder([installation("a"), installation("b", ["elsewhere"])])).toEqual([0, 0]);
  });

  it("puts what is required before what requires it, over several", () => {
    const all = [installation("a", ["b", "c"]), installation("b", ["c"]), installation("c")];
    expect(installOrder(all)).toEqual([2, 1, 0]);
    expect(installOrder(all.toReversed())).toEqual([0, 1, 2]);
  });

  it("puts zonal gateways first, even one that requires an ECU behind it", () => {
    const all = [installation("a"), gateway("z1", ["a", "z2"]), gateway("z2")];
    expect(installOrder(all)).toEqual([2, 1, 0]);
  });

  it("gives releases that require each other one place, after what they both require", () => {
    const all = [
      installation("a", ["b"]),
      installation("b", ["a", "c"]),
      installation("c"),
      installation("d", ["a"]),
    ];
    expect(installOrder(all)).toEqual([1, 1, 0, 2]);
    expect(installOrder(all.toReversed())).toEqual([2, 0, 1, 1]);
  });

  it("knows a zonal gateway by its zone's id or by its type", () => {
    expect(isZonalGateway(installation("a"))).toBe(false);
    expect(isZonalGateway(gateway("z"))).toBe(true);
    expect(isZonalGateway(installation("a", [], { ecu_type: "zonal-gateway" }))).toBe(true);
  });
});
