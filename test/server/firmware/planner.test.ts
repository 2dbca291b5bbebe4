import * as fc from "fast-check";
import { compare, gt, gte } from "semver";
import { describe, expect, it } from "vitest";
import { plan } from "#server/firmware/planner.ts";
import type { Release } from "#server/firmware/release.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";

function ecu(software_version: string, change: Partial<InventoryEcu> = {}): InventoryEcu {
  return {
    ecu_id: "ECU_001",
    zone_id: "ZG-FRONT",
    ecu_type: "brake",
    hardware_version: "HW-1.0",
    software_version,
    ...change,
  };
}

function release(version: string, change: Partial<Release> = {}): Release {
  return {
    firmware_id: `fw-${version}`,
    ecu_type: "brake",
    version,
    hardware_versions: ["HW-1.0"],
    channel: "stable",
    min_current_version: null,
    requires: [],
    availability: "channel",
    critical: false,
    size: 1000,
    ...change,
  };
}

const target = (result: ReturnType<typeof plan>) => result.outdated[0]?.release.version;
const reason = (result: ReturnType<typeof plan>) => result.blocked[0]?.reason;

describe("plan", () => {
  it("offers the newest release, by precedence and not by text or date", () => {
    const catalogue = ["1.9.0", "1.10.0", "1.2.0", "1.10.0-rc.1"].map((version) =>
      release(version),
    );
    expect(target(plan([ecu("1.0.0")], catalogue, "stable"))).toBe("1.10.0");
  });

  it("offers nothing, and blocks nothing, when the ECU is up to date or ahead", () => {
    for (const version of ["1.2.0", "1.3.0", "2.0.0-rc.1"]) {
      expect(plan([ecu(version)], [release("1.2.0"), release("1.1.0")], "stable")).toEqual({
        outdated: [],
        later: [],
        blocked: [],
        held: [],
      });
    }
  });

  it("takes a pre-release for older than its release", () => {
    expect(target(plan([ecu("1.0.0-rc.1")], [release("1.0.0")], "stable"))).toBe("1.0.0");
    expect(target(plan([ecu("1.0.0")], [release("1.0.0-rc.1")], "stable"))).toBeUndefined();
  });

  it("does not take another build of the same version for newer", () => {
    expect(plan([ecu("1.0.0+a")], [release("1.0.0+b")], "stable").outdated).toEqual([]);
  });

  it("chooses between two builds of one version without regard to their order", () => {
    const catalogue = [release("1.1.0+a"), release("1.1.0+b"), release("1.1.0")];
    const chosen = target(plan([ecu("1.0.0")], catalogue, "stable"));
    expect(target(plan([ecu("1.0.0")], catalogue.toReversed(), "stable"))).toBe(chosen);
  });

  it("steps through min_current_version, and says where the steps lead", () => {
    const catalogue = [
      release("3.0.0", { min_current_version: "2.0.0" }),
      release("2.0.0", { min_current_version: "1.5.0" }),
      release("1.5.0"),
    ];
    const [first] = plan([ecu("1.0.0")], catalogue, "stable").outdated;
    expect(first).toMatchObject({ release: { version: "1.5.0" }, newestVersion: "3.0.0" });
    const [last] = plan([ecu("2.1.0")], catalogue, "stable").outdated;
    expect(last).toMatchObject({ release: { version: "3.0.0" }, newestVersion: "3.0.0" });
  });

  it("skips a step that is not needed", () => {
    const catalogue = [release("3.0.0", { min_current_version: "1.0.0" }), release("2.0.0")];
    expect(target(plan([ecu("1.0.0")], catalogue, "stable"))).toBe("3.0.0");
  });

  it("offers a reachable release although a newer one is out of reach", () => {
    const catalogue = [release("3.0.0", { min_current_version: "2.5.0" }), release("2.0.0")];
    const [only] = plan([ecu("1.0.0")], catalogue, "stable").outdated;
    expect(only).toMatchObject({ release: { version: "2.0.0" }, newestVersion: "2.0.0" });
  });

  it.each([
    ["NO_FIRMWARE_FOR_TYPE", [release("2.0.0", { ecu_type: "lights" })]],
    ["NO_FIRMWARE_FOR_TYPE", []],
    ["NO_FIRMWARE_FOR_HARDWARE", [release("2.0.0", { hardware_versions: ["HW-1", "HW-1.00"] })]],
    ["CHANNEL_NOT_ALLOWED", [release("2.0.0", { channel: "beta" }), release("0.9.0")]],
    ["STEP_MISSING", [release("2.0.0", { min_current_version: "1.5.0" })]],
  ] as const)("blocks with %s", (expected, catalogue) => {
    const result = plan([ecu("1.0.0")], catalogue, "stable");
    expect(result.outdated).toEqual([]);
    expect(reason(result)).toBe(expected);
  });

  it("lets a vehicle on beta take stable releases too", () => {
    const catalogue = [release("2.0.0"), release("1.5.0", { channel: "beta" })];
    expect(target(plan([ecu("1.0.0")], catalogue, "beta"))).toBe("2.0.0");
    const newer = [release("2.0.0"), release("2.1.0", { channel: "beta" })];
    expect(target(plan([ecu("1.0.0")], newer, "beta"))).toBe("2.1.0");
    expect(target(plan([ecu("1.0.0")], newer, "stable"))).toBe("2.0.0");
  });

  it("does not step through a release that is not for the hardware or the channel", () => {
    const last = release("3.0.0", { min_current_version: "2.0.0" });
    for (const change of [{ hardware_versions: ["HW-2.0"] }, { channel: "beta" as const }]) {
      const result = plan([ecu("1.0.0")], [last, release("2.0.0", change)], "stable");
      expect(reason(result)).toBe("STEP_MISSING");
    }
  });

  it("is not confused by types named like parts of an object", () => {
    const result = plan([ecu("1.0.0", { ecu_type: "constructor" })], [release("2.0.0")], "stable");
    expect(reason(result)).toBe("NO_FIRMWARE_FOR_TYPE");
  });
});

describe("plan, whatever is in the catalogue", () => {
  const version = fc
    .tuple(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
      fc.constantFrom("", "", "-beta.1", "+b1", "+b2"),
    )
    .map(([major, minor, tail]) => `${major}.${minor}.0${tail}`);
  const hardware = fc.constantFrom("HW-1.0", "HW-2.0");
  const type = fc.constantFrom("brake", "lights");
  const anyRelease = fc.record({
    ecu_type: type,
    version,
    hardware_versions: fc.uniqueArray(hardware, { minLength: 1 }),
    channel: fc.constantFrom("stable" as const, "beta" as const),
    min_current_version: fc.option(version),
    requires: fc.constant([]),
    availability: fc.constant("channel" as const),
    critical: fc.boolean(),
    size: fc.nat(),
  });
  // As the catalogue's table has them: one release per type and version, none above its own minimum.
  const catalogue = fc
    .uniqueArray(anyRelease, {
      maxLength: 14,
      selector: ({ ecu_type, version }) => `${ecu_type} ${version}`,
    })
    .map((releases) =>
      releases
        .filter(({ version, min_current_version: min }) => min === null || gt(version, min))
        .map((each) => ({ ...each, firmware_id: `${each.ecu_type}-${each.version}` })),
    );
  const inventory = fc
    .array(fc.record({ ecu_type: type, hardware_version: hardware, software_version: version }), {
      minLength: 1,
      maxLength: 4,
    })
    .map((ecus) => ecus.map((each, index) => ({ ...each, ecu_id: `ECU_${index}`, zone_id: "ZG" })));
  const channel = fc.constantFrom("stable" as const, "beta" as const);

  const usable = (each: Release, { ecu_type, hardware_version }: InventoryEcu, on: string) =>
    each.ecu_type === ecu_type &&
    each.hardware_versions.includes(hardware_version) &&
    (on === "beta" || each.channel === "stable");

  /** Every version that can be come to at all, by trying every order of steps. */
  function reachable(from: string, releases: readonly Release[]): string[] {
    const found = new Set<string>();
    const visit = (at: string) => {
      for (const { version, min_current_version: min } of releases) {
        if (found.has(version) || !gt(version, at) || (min !== null && !gte(at, min))) continue;
        found.add(version);
        visit(version);
      }
    };
    visit(from);
    return [...found];
  }

  it("never goes downwards, and respects type, hardware, channel and minimum", () => {
    fc.assert(
      fc.property(inventory, catalogue, channel, (ecus, releases, on) => {
        for (const { ecu, release } of plan(ecus, releases, on).outdated) {
          expect(gt(release.version, ecu.software_version)).toBe(true);
          expect(usable(release, ecu, on)).toBe(true);
          expect(gte(ecu.software_version, release.min_current_version ?? "0.0.0-0")).toBe(true);
        }
      }),
    );
  });

  it("reaches the newest version that any order of steps reaches", () => {
    fc.assert(
      fc.property(inventory, catalogue, channel, (ecus, releases, on) => {
        const { outdated } = plan(ecus, releases, on);
        for (const each of ecus) {
          const best = reachable(
            each.software_version,
            releases.filter((release) => usable(release, each, on)),
          ).sort(compare);
          const planned = outdated.find(({ ecu }) => ecu.ecu_id === each.ecu_id);
          const end = best.at(-1);
          expect(planned === undefined).toBe(end === undefined);
          expect(compare(planned?.newestVersion ?? "0.0.0", end ?? "0.0.0")).toBe(0);
        }
      }),
    );
  });

  it("arrives there when every step that is offered is taken", () => {
    fc.assert(
      fc.property(inventory, catalogue, channel, (ecus, releases, on) => {
        const promised = new Map(
          plan(ecus, releases, on).outdated.map(({ ecu, newestVersion }) => [
            ecu.ecu_id,
            newestVersion,
          ]),
        );
        let now = ecus;
        for (let step = 0; step <= releases.length; step++) {
          const next = new Map(
            plan(now, releases, on).outdated.map(({ ecu, release }) => [
              ecu.ecu_id,
              release.version,
            ]),
          );
          now = now.map((each) => ({
            ...each,
            software_version: next.get(each.ecu_id) ?? each.software_version,
          }));
        }
        expect(plan(now, releases, on).outdated).toEqual([]);
        for (const { ecu_id, software_version } of now) {
          expect(promised.get(ecu_id) ?? software_version).toBe(software_version);
        }
      }),
    );
  });

  it("gives a reason for every ECU that is offered nothing although newer exists", () => {
    fc.assert(
      fc.property(inventory, catalogue, channel, (ecus, releases, on) => {
        const { outdated, blocked } = plan(ecus, releases, on);
        for (const each of ecus) {
          const offered = outdated.some(({ ecu }) => ecu.ecu_id === each.ecu_id);
          const reasons = blocked.filter(({ ecu }) => ecu.ecu_id === each.ecu_id);
          const ofType = releases.filter(({ ecu_type }) => ecu_type === each.ecu_type);
          const newer = ofType.some(({ version }) => gt(version, each.software_version));
          const held = !offered && (newer || ofType.length === 0);
          expect(reasons).toHaveLength(held ? 1 : 0);
        }
      }),
    );
  });

  it("does not depend on the order of the catalogue", () => {
    const shuffled = catalogue.chain((releases) =>
      fc.tuple(
        fc.constant(releases),
        fc.shuffledSubarray(releases, { minLength: releases.length, maxLength: releases.length }),
      ),
    );
    fc.assert(
      fc.property(inventory, shuffled, channel, (ecus, [one, other], on) => {
        expect(plan(ecus, other, on)).toEqual(plan(ecus, one, on));
      }),
      { numRuns: 500 },
    );
  });
});
