import { describe, expect, it } from "vitest";
import { partOf, plan, type Plan } from "#server/firmware/planner.ts";
import type { Release } from "#server/firmware/release.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";

function ecu(ecu_type: string, software_version: string, change: Partial<InventoryEcu> = {}) {
  return {
    ecu_id: `ECU_${ecu_type}`,
    zone_id: "ZG-FRONT",
    ecu_type,
    hardware_version: "HW-1.0",
    software_version,
    ...change,
  };
}

/** @param requires as `type version` */
function release(
  ecu_type: string,
  version: string,
  requires: readonly string[] = [],
  change: Partial<Release> = {},
): Release {
  return {
    firmware_id: `${ecu_type} ${version}`,
    ecu_type,
    version,
    hardware_versions: ["HW-1.0"],
    channel: "stable",
    min_current_version: null,
    requires: requires.map((each) => {
      const [type = "", min_version = ""] = each.split(" ");
      return { ecu_type: type, min_version };
    }),
    availability: "channel",
    critical: false,
    size: 1000,
    ...change,
  };
}

const after = (min_current_version: string) => ({ min_current_version });
const campaign = { availability: "campaign" as const };

function bundles({ outdated, later }: Plan): string[][] {
  return [outdated, ...later].map((bundle) => bundle.map((each) => each.release.firmware_id));
}

describe("requirements", () => {
  const vehicle = [ecu("brake", "1.0.0"), ecu("radio", "1.0.0")];

  it("are installed with what requires them, and before it", () => {
    const catalogue = [release("brake", "2.0.0", ["radio 2.0.0"]), release("radio", "2.0.0")];
    const made = plan(vehicle, catalogue, "stable");
    expect(bundles(made)).toEqual([["radio 2.0.0", "brake 2.0.0"]]);
    expect([...made.blocked, ...made.held]).toEqual([]);
  });

  it("of each other are installed together", () => {
    const catalogue = [
      release("brake", "2.0.0", ["radio 2.0.0"]),
      release("radio", "2.0.0", ["brake 2.0.0"]),
    ];
    expect(bundles(plan(vehicle, catalogue, "stable"))).toEqual([["brake 2.0.0", "radio 2.0.0"]]);
  });

  it("that take steps are waited for, and an older release is had meanwhile", () => {
    const catalogue = [
      release("brake", "2.0.0", ["radio 3.0.0"]),
      release("brake", "1.5.0"),
      release("radio", "3.0.0", [], after("2.0.0")),
      release("radio", "2.0.0"),
    ];
    const made = plan(vehicle, catalogue, "stable");
    expect(bundles(made)).toEqual([
      ["brake 1.5.0", "radio 2.0.0"],
      ["radio 3.0.0", "brake 2.0.0"],
    ]);
    expect(made.outdated[0]).toMatchObject({ newestVersion: "2.0.0" });
    expect(made.later[0]?.[1]?.ecu).toEqual(ecu("brake", "1.5.0"));
  });

  it("are for every ECU of a type", () => {
    const two = [...vehicle, ecu("radio", "1.0.0", { ecu_id: "ECU_r2", hardware_version: "HW-2" })];
    const catalogue = [release("brake", "2.0.0", ["radio 2.0.0"]), release("radio", "2.0.0")];
    const made = plan(two, catalogue, "stable");
    expect(bundles(made)).toEqual([["radio 2.0.0"]]);
    expect(made.blocked.map(({ reason, detail }) => [reason, detail])).toEqual([
      [
        "REQUIREMENT_UNMET",
        "2.0.0 needs radio 2.0.0, the most for ECU_r2 is 1.0.0; ECU_r2: 2.0.0 is not for hardware HW-2",
      ],
      ["NO_FIRMWARE_FOR_HARDWARE", "2.0.0 is not for hardware HW-2"],
    ]);
  });

  it("that the vehicle has nothing for leave it at the older release, which is told", () => {
    const catalogue = [release("brake", "2.0.0", ["lidar 1.0.0"]), release("brake", "1.5.0")];
    const made = plan([ecu("brake", "1.0.0")], catalogue, "stable");
    expect(bundles(made)).toEqual([["brake 1.5.0"]]);
    expect(made.held).toEqual([
      {
        ecu: ecu("brake", "1.0.0"),
        newestVersion: "2.0.0",
        reason: "REQUIREMENT_ABSENT",
        detail: "2.0.0 needs lidar 1.0.0, which the vehicle does not have",
      },
    ]);
  });

  it("that fall take down what requires them, one after the other", () => {
    const catalogue = [
      release("brake", "2.0.0", ["lidar 1.0.0"]),
      release("lights", "2.0.0", ["brake 2.0.0"]),
      release("radio", "2.0.0", ["lights 2.0.0"]),
    ];
    const made = plan([...vehicle, ecu("lights", "1.0.0")], catalogue, "stable");
    expect(bundles(made)).toEqual([[]]);
    expect(made.blocked.map(({ reason }) => reason)).toEqual([
      "REQUIREMENT_ABSENT",
      "REQUIREMENT_UNMET",
      "REQUIREMENT_UNMET",
    ]);
  });

  it("are told of over other ECUs down to the root", () => {
    const catalogue = [
      release("brake", "2.0.0", ["radio 2.0.0"]),
      release("radio", "2.0.0", ["lights 2.0.0"]),
      release("lights", "2.0.0", ["brake 2.0.0"], { channel: "beta" }),
    ];
    const { blocked } = plan([...vehicle, ecu("lights", "1.0.0")], catalogue, "stable");
    expect(blocked.find((each) => each.ecu.ecu_type === "brake")).toMatchObject({
      reason: "REQUIREMENT_UNMET",
      detail:
        "2.0.0 needs radio 2.0.0, the most for ECU_radio is 1.0.0; " +
        "ECU_radio: 2.0.0 needs lights 2.0.0, the most for ECU_lights is 1.0.0; " +
        "ECU_lights: 2.0.0 is on beta, the vehicle follows stable",
    });
  });

  it("of a step are the reason for what comes after it", () => {
    const catalogue = [
      release("brake", "3.0.0", [], { ...after("2.0.0"), ...campaign }),
      release("brake", "2.0.0", ["radio 2.0.0"]),
    ];
    const only = new Set(["brake 3.0.0"]);
    expect(plan(vehicle, catalogue, "stable", { only }).blocked).toMatchObject([
      {
        reason: "REQUIREMENT_UNMET",
        detail:
          "3.0.0 needs at least 2.0.0, this is 1.0.0; " +
          "2.0.0 needs radio 2.0.0, the most for ECU_radio is 1.0.0; " +
          "nothing is published for radio from there on",
      },
    ]);
  });

  it("go with the part of a bundle that a vehicle asks for", () => {
    const catalogue = [
      release("brake", "2.0.0", ["radio 2.0.0"]),
      release("radio", "2.0.0"),
      release("lights", "2.0.0"),
    ];
    const { outdated } = plan([...vehicle, ecu("lights", "1.0.0")], catalogue, "stable");
    const ids = (part: typeof outdated) => part.map((each) => each.ecu.ecu_id);
    expect(ids(partOf(outdated, ["ECU_brake"]))).toEqual(["ECU_radio", "ECU_brake"]);
    expect(ids(partOf(outdated, ["ECU_lights"]))).toEqual(["ECU_lights"]);
    expect(ids(partOf(outdated, []))).toEqual([]);
  });
});

describe("a plan for certain releases", () => {
  const vehicle = [ecu("brake", "1.0.0"), ecu("lights", "1.0.0"), ecu("radio", "1.0.0")];
  const catalogue = [
    release("brake", "4.0.0"),
    release("brake", "3.0.0", ["radio 2.0.0"], { ...after("2.0.0"), ...campaign }),
    release("brake", "2.0.0"),
    release("lights", "2.0.0"),
    release("radio", "2.1.0"),
    release("radio", "2.0.0"),
  ];

  it("brings them and what they need, and leaves everything else as it is", () => {
    const made = plan(vehicle, catalogue, "stable", { only: new Set(["brake 3.0.0"]) });
    expect(bundles(made)).toEqual([["brake 2.0.0", "radio 2.1.0"], ["brake 3.0.0"]]);
    expect([...made.blocked, ...made.held]).toEqual([]);
  });

  it("goes straight to what needs no step", () => {
    const made = plan(vehicle, catalogue, "stable", { only: new Set(["brake 4.0.0"]) });
    expect(bundles(made)).toEqual([["brake 4.0.0"]]);
  });

  it("takes nothing that only another campaign offers", () => {
    const closed = catalogue.map((each) =>
      each.ecu_type === "radio" ? { ...each, ...campaign } : each,
    );
    const only = new Set(["brake 3.0.0"]);
    const made = plan(vehicle, closed, "stable", { only });
    expect(bundles(made)).toEqual([[]]);
    expect(made.blocked).toMatchObject([
      {
        reason: "REQUIREMENT_UNMET",
        detail:
          "3.0.0 needs radio 2.0.0, the most for ECU_radio is 1.0.0; " +
          "ECU_radio: 2.1.0 comes by a campaign only",
      },
    ]);
    const general = plan(vehicle, closed, "stable");
    expect(bundles(general)).toEqual([["brake 4.0.0", "lights 2.0.0"]]);
    expect(general.blocked).toMatchObject([{ reason: "CAMPAIGN_ONLY" }]);
  });

  it("brings an ECU to the newest of several that it can have", () => {
    const several = [
      release("brake", "3.0.0", ["lidar 1.0.0"], campaign),
      release("brake", "2.0.0", [], campaign),
      release("brake", "2.5.0"),
    ];
    const only = new Set(["brake 2.0.0", "brake 3.0.0"]);
    const made = plan([ecu("brake", "1.0.0")], several, "stable", { only });
    expect(bundles(made)).toEqual([["brake 2.0.0"]]);
    expect(made.held).toMatchObject([{ newestVersion: "3.0.0", reason: "REQUIREMENT_ABSENT" }]);
  });

  it("tells of what can't be had since it would have to be passed first", () => {
    const circle = [
      release("brake", "2.0.0", ["radio 2.0.0"], campaign),
      release("brake", "3.0.0"),
      release("radio", "2.0.0", ["brake 3.0.0"]),
    ];
    const made = plan(vehicle, circle, "stable", { only: new Set(["brake 2.0.0"]) });
    expect(bundles(made)).toEqual([[]]);
    expect(made.blocked).toMatchObject([
      {
        reason: "REQUIREMENT_UNMET",
        detail:
          "2.0.0 needs radio 2.0.0, the most for ECU_radio is 1.0.0; " +
          "ECU_radio: 2.0.0 needs brake 3.0.0, the most for ECU_brake is 1.0.0; " +
          "ECU_brake is to come to 2.0.0 first",
      },
    ]);
  });

  it("says nothing of ECUs that already run them, or something newer", () => {
    const newer = [ecu("brake", "3.0.0"), ecu("brake", "3.1.0", { ecu_id: "ECU_b2" })];
    const made = plan(newer, catalogue, "stable", { only: new Set(["brake 3.0.0"]) });
    expect(made).toEqual({ outdated: [], later: [], blocked: [], held: [] });
  });

  it("leaves a step out that another takes the place of a bundle later", () => {
    const all = [
      // Comes in the second bundle, in which radio 2.0.0 is there as well.
      release("brake", "3.0.0", ["radio 1.5.0"], { ...after("2.0.0"), ...campaign }),
      release("brake", "2.0.0"),
      release("lights", "3.0.0", ["radio 2.0.0"], { ...after("2.0.0"), ...campaign }),
      release("lights", "2.0.0"),
      release("radio", "2.0.0", ["lights 3.0.0"]),
      release("radio", "1.7.0"),
    ];
    const only = new Set(["brake 3.0.0", "lights 3.0.0"]);
    expect(bundles(plan(vehicle, all, "stable", { only }))).toEqual([
      ["brake 2.0.0", "lights 2.0.0"],
      ["lights 3.0.0", "radio 2.0.0", "brake 3.0.0"],
    ]);
  });
});
