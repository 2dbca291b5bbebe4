import { describe, expect, test } from "vitest";
import {
  restoreEcuState,
  storeEcuState,
  verifyPartially,
  type EcuState,
} from "#protocol/uptane/partial-verification.ts";
import type { Checks } from "#protocol/uptane/trusted.ts";
import { verifyNoble } from "#protocol/uptane/verify-noble.ts";
import { refusal, trustOf } from "./run.ts";
import { NOW, type TestRepository } from "./test-repository.ts";
import { ASSIGNED, IMAGE, PATH, repositories } from "./vehicle.ts";

const ECU = { ecuId: "ECU_001", hardwareId: "HW-A", releaseCounter: 4 };
const CHECKS: Checks & { vin: string; nonce: string } = {
  now: NOW,
  verify: verifyNoble,
  vin: "VMG-001",
  nonce: "nonce-1",
};

/** What the VMG hands on: every root there is, and the last targets. */
function filesOf({ files, root, targets }: TestRepository) {
  const file = (name: string) => files.get(name) ?? Buffer.alloc(0);
  const versions = Array.from({ length: root.version }, (_, index) => index + 1);
  return {
    roots: versions.map((version) => file(`${version}.root.json`)),
    targets: file(`${targets.version}.targets.json`),
  };
}

const stateOf = (director: TestRepository): EcuState => ({
  director: trustOf(director),
  releaseCounters: new Map(),
});

const partially = (
  director: TestRepository,
  state = stateOf(director),
  { ecu = ECU, ...checks }: Partial<typeof CHECKS> & { ecu?: typeof ECU } = {},
) => verifyPartially(state, filesOf(director), [ecu], { ...CHECKS, ...checks });

describe("partial verification", () => {
  test("gives an ECU its own entry, through new roots and new keys", () => {
    const { director } = repositories();
    const first = partially(director);
    expect(first.assignments).toMatchObject([{ path: PATH, ecu: ASSIGNED }]);
    director.rotate("root");
    director.rotate("targets");
    director.publishAll();
    const { state } = partially(director, first.state);
    expect(state.director.root.signed.version).toBe(3);
    expect(state.releaseCounters).toEqual(new Map([["ECU_001", 5]]));
  });

  test("does not mind what other ECUs are assigned", () => {
    const { director } = repositories();
    const other = { ecu_id: "ECU_777", hardware_id: "HW-Z", release_counter: 1 };
    director.addTarget("other.bin", IMAGE, other);
    director.publishAll();
    expect(partially(director).assignments.map(({ path }) => path)).toEqual([PATH]);
  });

  const cases: [string, string, (director: TestRepository) => void][] = [
    [
      "UPTANE_SIGNATURE_MISSING",
      "a classical signature alone",
      (director) => {
        const [classical] = director.signers.get("targets") ?? [];
        director.signers.set("targets", classical ? [classical] : []);
      },
    ],
    [
      "UPTANE_EXPIRED",
      "targets that have expired",
      (director) => (director.targets.expires = "2026-11-20T12:00:00Z"),
    ],
    [
      "UPTANE_EXPIRED",
      "a root that has expired",
      (director) => {
        director.root.expires = "2026-11-20T12:00:00Z";
        director.publish("root");
      },
    ],
    [
      "UPTANE_DIRECTOR_DELEGATES",
      "delegations",
      (director) => director.delegate("targets", "other"),
    ],
    [
      "UPTANE_ECU_DUPLICATE",
      "an ECU twice",
      (director) => director.addTarget("other.bin", IMAGE, ASSIGNED),
    ],
    ["UPTANE_ECU_UNKNOWN", "nothing for it", (director) => (director.targets.targets = {})],
    [
      "UPTANE_HARDWARE_MISMATCH",
      "an image for other hardware",
      (director) => director.addTarget(PATH, IMAGE, { ...ASSIGNED, hardware_id: "HW-B" }),
    ],
    [
      "UPTANE_RELEASE_ROLLBACK",
      "an older release",
      (director) => director.addTarget(PATH, IMAGE, { ...ASSIGNED, release_counter: 3 }),
    ],
    [
      "UPTANE_VIN_MISMATCH",
      "another vehicle's targets",
      (director) => (director.targets["custom"] = { vin: "VMG-002", nonce: "nonce-1" }),
    ],
    [
      "UPTANE_NONCE_STALE",
      "an old nonce",
      (director) => (director.targets["custom"] = { vin: "VMG-001", nonce: "nonce-0" }),
    ],
  ];
  test.each(cases)("refuses with %s: %s", (code, _name, change) => {
    const { director } = repositories();
    const state = stateOf(director);
    change(director);
    director.publish("targets");
    expect(refusal(() => partially(director, state))).toBe(code);
  });

  test("refuses older targets than it has seen", () => {
    const { director } = repositories();
    const { state } = partially(director);
    expect(refusal(() => partially(director, state))).toBe("accepted");
    director.targets.version = 1;
    director.sign("targets");
    expect(refusal(() => partially(director, state))).toBe("UPTANE_TARGETS_ROLLBACK");
  });

  test("refuses a lower release than it was assigned before", () => {
    const { director } = repositories();
    const { state } = partially(director);
    director.addTarget(PATH, IMAGE, { ...ASSIGNED, release_counter: 4 });
    director.publish("targets");
    expect(refusal(() => partially(director, state))).toBe("UPTANE_RELEASE_ROLLBACK");
  });

  test("refuses roots with one left out", () => {
    const { director } = repositories();
    const state = stateOf(director);
    director.publish("root", "root");
    const { roots, targets } = filesOf(director);
    const files = { roots: roots.toSpliced(1, 1), targets };
    expect(refusal(() => verifyPartially(state, files, [ECU], CHECKS))).toBe("UPTANE_ROOT_SKIPPED");
  });

  test("gives a zonal gateway the entries of all its ECUs, and refuses all for one", () => {
    const { director } = repositories();
    const second = { ...ASSIGNED, ecu_id: "ECU_002", hardware_id: "HW-C" };
    director.addTarget("second.bin", IMAGE, second);
    director.publish("targets");
    const zone = (hardwareId: string) => [
      ECU,
      { ecuId: "ECU_002", hardwareId },
      { ecuId: "ECU_003", hardwareId: "HW-D" },
    ];
    const verify = (hardwareId: string) =>
      verifyPartially(stateOf(director), filesOf(director), zone(hardwareId), CHECKS);
    const { assignments, state } = verify("HW-C");
    expect(assignments.map(({ ecu }) => ecu.ecu_id).sort()).toEqual(["ECU_001", "ECU_002"]);
    expect(Object.fromEntries(state.releaseCounters)).toEqual({ ECU_001: 5, ECU_002: 5 });
    expect(refusal(() => verify("HW-D"))).toBe("UPTANE_HARDWARE_MISMATCH");
  });

  test("goes on after a loss of power with all that it knew", () => {
    const { director } = repositories();
    const known = partially(director).state;
    const stored: unknown = JSON.parse(JSON.stringify(storeEcuState(known)));
    const state = restoreEcuState(stored, { verify: verifyNoble });
    expect(refusal(() => partially(director, state))).toBe("accepted");
    const lower = structuredClone(ASSIGNED);
    lower.release_counter = 4;
    director.addTarget(PATH, IMAGE, lower);
    director.publish("targets");
    expect(refusal(() => partially(director, state))).toBe("UPTANE_RELEASE_ROLLBACK");
    director.targets.version = 1;
    director.sign("targets");
    expect(refusal(() => partially(director, state))).toBe("UPTANE_TARGETS_ROLLBACK");
    const malformed = () => restoreEcuState({ format: "none" }, {});
    expect(refusal(malformed)).toBe("UPTANE_STATE_MALFORMED");
  });
});
