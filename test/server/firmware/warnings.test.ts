import { describe, expect, it } from "vitest";
import { lossesOf, warningsOf, type Listed } from "#server/firmware/warnings.ts";

function listed(version: string, change: Partial<Listed> = {}): Listed {
  return {
    firmware_id: `${change.ecu_type ?? "brake"} ${version}`,
    ecu_type: "brake",
    version,
    hardware_versions: ["HW-1.0"],
    channel: "stable",
    min_current_version: null,
    requires: [],
    availability: "channel",
    ...change,
  };
}
const from = (min_current_version: string) => ({ min_current_version });
const needs = (ecu_type: string, min_version: string) => ({
  requires: [{ ecu_type, min_version }],
});
const codes = (firmware: Listed, others: readonly Listed[]) =>
  warningsOf(firmware, [...others, firmware]).map(({ code }) => code);

describe("a chain", () => {
  const last = listed("3.0.0", from("2.0.0"));

  it.each<[string, Listed[]]>([
    ["over the step that is named", [listed("2.0.0")]],
    ["over a later step", [listed("2.5.0")]],
    ["over steps of steps", [listed("2.0.0", from("1.0.0")), listed("1.0.0")]],
    ["whatever else there is", [listed("2.9.0", from("2.8.0")), listed("2.0.0")]],
  ])("can be walked %s", (_, others) => {
    expect(codes(last, others)).toEqual([]);
    expect(codes(last, others.toReversed())).toEqual([]);
  });

  it.each<[string, Listed[]]>([
    ["without a step", []],
    ["over a step that is too low", [listed("1.9.0")]],
    ["over a step that is too high", [listed("3.0.0+b2"), listed("4.0.0")]],
    ["over a step that can't be come to", [listed("2.0.0", from("1.0.0"))]],
    ["over a step on beta", [listed("2.0.0", { channel: "beta" })]],
    ["over a step for campaigns", [listed("2.0.0", { availability: "campaign" })]],
    ["over a step of another type", [listed("2.0.0", { ecu_type: "lights" })]],
  ])("can't be walked %s", (_, others) => {
    expect(codes(last, others)).toEqual(["CHAIN_BROKEN"]);
  });

  it("is walked on each hardware by itself", () => {
    const both = listed("3.0.0", { ...from("2.0.0"), hardware_versions: ["HW-1.0", "HW-2.0"] });
    const [warning, ...more] = warningsOf(both, [listed("2.0.0"), both]);
    expect(more).toEqual([]);
    expect(warning?.detail).toContain("brings hardware HW-2.0 to 2.0.0");
  });

  it("of a beta release may go over stable ones, of a campaign's over those for all", () => {
    for (const change of [{ channel: "beta" }, { availability: "campaign" }] as const)
      expect(codes({ ...last, ...change }, [listed("2.0.0")])).toEqual([]);
  });
});

describe("requirements", () => {
  const release = listed("2.0.0", needs("steering", "3.0.0"));
  const steering = (version: string, change: Partial<Listed> = {}) =>
    listed(version, { ecu_type: "steering", ...change });

  it("are met by any later version for whoever may have the release", () => {
    expect(codes(release, [steering("3.0.1")])).toEqual([]);
    expect(codes(release, [steering("3.0.0-rc.1")])).toEqual(["REQUIREMENT_MISSING"]);
    expect(codes(release, [steering("3.0.0", { channel: "beta" })])).toEqual([
      "REQUIREMENT_MISSING",
    ]);
  });

  it("that come back are told with the way, however long", () => {
    const back = steering("3.0.0", needs("lights", "1.0.0"));
    const lights = listed("1.0.0", { ecu_type: "lights", ...needs("brake", "1.0.0") });
    expect(warningsOf(release, [release, back, lights])).toEqual([
      {
        code: "REQUIREMENT_CYCLE",
        detail: "brake 2.0.0 → steering 3.0.0 → lights 1.0.0 → brake",
      },
    ]);
    // Others' cycle is not this one's, and ends.
    const elsewhere = listed("1.0.0", { ecu_type: "lights", ...needs("steering", "1.0.0") });
    expect(codes(release, [back, elsewhere])).toEqual([]);
  });
});

describe("what is lost with a firmware", () => {
  it("is each chain and requirement that nothing else carries", () => {
    const step = listed("2.0.0");
    const after = Array.from({ length: 7 }, (_, minor) => listed(`3.${minor}.0`, from("2.0.0")));
    const needing = listed("1.0.0", { ecu_type: "lights", ...needs("brake", "2.0.0") });
    expect(lossesOf(step, [...after, needing])).toEqual([
      {
        code: "CHAIN_CUT",
        detail: "brake 3.0.0, brake 3.1.0, brake 3.2.0, brake 3.3.0, brake 3.4.0 and 2 more",
      },
    ]);
    expect(lossesOf(step, [needing])).toEqual([
      { code: "REQUIREMENT_CUT", detail: "lights 1.0.0" },
    ]);
    expect(lossesOf(step, [listed("2.1.0"), ...after, needing])).toEqual([]);
    // What was broken before is not lost now.
    expect(lossesOf(listed("1.0.0"), after)).toEqual([]);
  });
});
