import { describe, expect, test } from "vitest";
import type { Vehicle } from "#protocol/uptane/assignment.ts";
import type { TargetFile } from "#protocol/uptane/metadata.ts";
import {
  restoreVehicleState,
  storeVehicleState,
  type VehicleState,
} from "#protocol/uptane/vehicle-state.ts";
import { refusal } from "./run.ts";
import {
  ASSIGNED,
  IMAGE,
  PATH,
  repositories,
  stateOf,
  TRAITS,
  verify,
  VEHICLE,
  type Repositories,
} from "./vehicle.ts";

function code(pair: Repositories, vehicle: Partial<Vehicle> = {}, state = stateOf(pair)): string {
  return refusal(() => verify(pair, state, vehicle));
}

/** A pair whose director or image repository says something else of the one image. */
function changed(side: "director" | "image", change: (file: TargetFile) => TargetFile) {
  const pair = repositories();
  const { targets } = pair[side].targets;
  const file = targets[PATH];
  if (file === undefined) throw new Error("no target");
  targets[PATH] = change(file);
  pair[side].publishAll();
  return pair;
}

const withCustom = (custom: Record<string, unknown>) => (file: TargetFile) => ({ ...file, custom });

describe("a director and an image repository that agree", () => {
  test("are verified, down to who signed the image", () => {
    const pair = repositories();
    const { assignments, state } = verify(pair);
    expect(assignments).toMatchObject([
      { path: PATH, signedBy: "targets", ecu: ASSIGNED, file: { length: IMAGE.length } },
    ]);
    expect(state.director.targets?.signed.version).toBe(2);
    expect(state.releaseCounters).toEqual(new Map([["ECU_001", 5]]));
  });

  test("may leave the image to a supplier's role", () => {
    const pair = repositories();
    pair.image.targets.targets = {};
    pair.image.delegate("targets", "supplier", { paths: ["brake/*"] });
    pair.image.addTarget(PATH, IMAGE, TRAITS, "supplier");
    pair.image.publishAll();
    const { assignments, state } = verify(pair);
    expect(assignments).toMatchObject([{ signedBy: "supplier" }]);
    expect([...state.image.delegated.keys()]).toEqual(["supplier"]);
  });

  test("may assign one image to several ECUs", () => {
    const pair = repositories();
    const ecus = [ASSIGNED, { ecu_id: "ECU_003", hardware_id: "HW-B", release_counter: 5 }];
    pair.director.addTarget(PATH, IMAGE, { ecus });
    pair.director.publishAll();
    const more = { ecus: [...VEHICLE.ecus, { ecuId: "ECU_003", hardwareId: "HW-B" }] };
    const { assignments } = verify(pair, stateOf(pair), more);
    expect(assignments.map(({ ecu }) => ecu.ecu_id)).toEqual(["ECU_001", "ECU_003"]);
    expect(code(pair)).toBe("UPTANE_ECU_UNKNOWN");
  });

  test("may assign nothing", () => {
    const pair = repositories();
    pair.director.targets.targets = {};
    pair.director.publishAll();
    expect(verify(pair).assignments).toEqual([]);
  });

  test.each([
    [
      "POUF 1",
      { ecuIdentifier: "ECU_001", hardwareIdentifier: "HW-A", releaseCounter: 5 },
      { hardwareIdentifier: "HW-A", releaseCounter: 5 },
    ],
    [
      "aktualizr",
      { ecuIdentifiers: { ECU_001: { hardwareId: "HW-A" } }, releaseCounter: 5 },
      { hardwareIds: ["HW-A"], releaseCounter: 5 },
    ],
  ])("may write their custom metadata as %s does", (_name, assigned, traits) => {
    const pair = repositories();
    pair.director.addTarget(PATH, IMAGE, assigned);
    pair.image.addTarget(PATH, IMAGE, traits);
    for (const side of [pair.director, pair.image]) side.publishAll();
    expect(verify(pair).assignments).toMatchObject([
      { ecu: { ecu_id: "ECU_001", hardware_id: "HW-A", release_counter: 5 } },
    ]);
    pair.director.addTarget(PATH, IMAGE, { ...assigned, releaseCounter: 6 });
    pair.director.publishAll();
    expect(code(pair)).toBe("UPTANE_IMAGE_MISMATCH");
  });

  test("may both not count releases, where the vehicle does not either", () => {
    const pair = repositories();
    const assigned = { ecuIdentifier: "ECU_002", hardwareIdentifier: "HW-C" };
    pair.director.addTarget(PATH, IMAGE, assigned);
    pair.image.addTarget(PATH, IMAGE, { hardwareIdentifier: "HW-C" });
    for (const side of [pair.director, pair.image]) side.publishAll();
    expect(code(pair)).toBe("accepted");
    const counting = { ecus: [{ ecuId: "ECU_002", hardwareId: "HW-C", releaseCounter: 1 }] };
    expect(code(pair, counting)).toBe("UPTANE_RELEASE_ROLLBACK");
  });
});

describe("the director's targets are refused", () => {
  test("for another vehicle: a mix of two vehicles' directors", () => {
    const pair = repositories();
    const state = stateOf(pair);
    const mine = verify(pair, state).state;
    pair.director.targets["custom"] = { vin: "VMG-002", nonce: "nonce-1" };
    for (let i = 0; i < 50; i++) pair.director.publish("timestamp");
    pair.director.publishAll();
    expect(code(pair, {}, mine)).toBe("UPTANE_VIN_MISMATCH");
  });

  test.each<Record<string, unknown>>([{}, { vin: 1 }, { vin: "vmg-001" }])(
    "without this vehicle's name in them: %j",
    (custom) => {
      const pair = repositories();
      pair.director.targets["custom"] = { nonce: "nonce-1", ...custom };
      pair.director.publishAll();
      expect(code(pair)).toBe("UPTANE_VIN_MISMATCH");
    },
  );

  test("when they answer an older report: a replay", () => {
    const pair = repositories();
    const { state } = verify(pair);
    expect(code(pair, {}, state)).toBe("accepted");
    expect(code(pair, { nonce: "nonce-2" }, state)).toBe("UPTANE_NONCE_STALE");
    expect(code(pair, { nonce: "nonce-2" })).toBe("UPTANE_NONCE_STALE");
  });

  test("when they are empty although an update was announced: a freeze", () => {
    const pair = repositories();
    expect(code(pair, { expectsUpdate: true })).toBe("accepted");
    pair.director.targets.targets = {};
    pair.director.publishAll();
    expect(code(pair, { expectsUpdate: true })).toBe("UPTANE_DIRECTOR_EMPTY");
  });

  test("when they delegate", () => {
    const pair = repositories();
    pair.director.delegate("targets", "other");
    pair.director.publishAll();
    expect(code(pair)).toBe("UPTANE_DIRECTOR_DELEGATES");
  });

  test("when they assign two images to one ECU", () => {
    const pair = repositories();
    pair.director.addTarget("other.bin", IMAGE, ASSIGNED);
    pair.director.publishAll();
    expect(code(pair)).toBe("UPTANE_ECU_DUPLICATE");
  });

  test("when the vehicle has no such ECU", () => {
    const pair = changed("director", withCustom({ ...ASSIGNED, ecu_id: "ECU_009" }));
    expect(code(pair)).toBe("UPTANE_ECU_UNKNOWN");
  });

  test("when the ECU is of other hardware", () => {
    const pair = changed("director", withCustom({ ...ASSIGNED, hardware_id: "HW-B" }));
    expect(code(pair)).toBe("UPTANE_HARDWARE_MISMATCH");
  });

  test.each(["steering", "brak", "brake/ECU_001-1.1.0.bin"])(
    "when the image is not for the type of the ECU, whatever hardware it names: %s",
    (ecuType) => {
      const ofType = (type: string) => ({
        ecus: [{ ecuId: "ECU_001", hardwareId: "HW-A", ecuType: type }],
      });
      expect(code(repositories(), ofType("brake"))).toBe("accepted");
      expect(code(repositories(), ofType(ecuType))).toBe("UPTANE_HARDWARE_MISMATCH");
    },
  );

  test("when the ECU has a later release installed, or had one assigned", () => {
    const later = { ecus: [{ ecuId: "ECU_001", hardwareId: "HW-A", releaseCounter: 6 }] };
    expect(code(repositories(), later)).toBe("UPTANE_RELEASE_ROLLBACK");
    const pair = repositories();
    const { state } = verify(pair);
    for (const side of [pair.director, pair.image]) {
      const custom = side === pair.director ? ASSIGNED : TRAITS;
      side.addTarget(PATH, IMAGE, { ...custom, release_counter: 4 });
      side.publishAll();
    }
    expect(code(pair)).toBe("accepted");
    expect(code(pair, {}, state)).toBe("UPTANE_RELEASE_ROLLBACK");
  });

  test.each([
    undefined,
    {},
    { ...ASSIGNED, ecu_id: 1 },
    { ...ASSIGNED, hardware_id: undefined },
    { ...ASSIGNED, release_counter: undefined },
    { ...ASSIGNED, release_counter: -1 },
    { ...ASSIGNED, package: { id: "P-1" } },
    { ecus: [] },
    { ecus: [ASSIGNED, {}] },
    { ecuIdentifiers: {} },
  ])("when it is not clear for whom: %j", (custom) => {
    const clean = custom && (JSON.parse(JSON.stringify(custom)) as Record<string, unknown>);
    const pair = changed("director", ({ custom: _old, ...file }) => ({
      ...file,
      ...(clean && { custom: clean }),
    }));
    expect(code(pair)).toBe("UPTANE_CUSTOM_MALFORMED");
  });
});

describe("an image is refused", () => {
  test("that the image repository does not have", () => {
    const pair = repositories();
    pair.image.targets.targets = {};
    pair.image.publishAll();
    expect(code(pair)).toBe("UPTANE_TARGET_UNKNOWN");
  });

  test.each<[string, (file: TargetFile) => TargetFile]>([
    ["another length", (file) => ({ ...file, length: file.length + 1 })],
    ["another hash", (file) => ({ ...file, hashes: { ...file.hashes, sha256: "00".repeat(32) } })],
    ["no hash in common", ({ hashes, ...file }) => ({ ...file, hashes: { sha384: "00" } })],
    ["no known hash in common", (file) => ({ ...file, hashes: { md5: "00" } })],
    ["other hardware", withCustom({ ...TRAITS, hardware_ids: ["HW-B"] })],
    ["another type of ECU", withCustom({ ...TRAITS, ecu_type: "steering" })],
    ["another release counter", withCustom({ ...TRAITS, release_counter: 6 })],
  ])("of which it says %s than the director", (_name, change) => {
    expect(code(changed("image", change))).toBe("UPTANE_IMAGE_MISMATCH");
  });

  test.each([
    ["1.1.0", "UPTANE_STEP_SKIPPED"],
    ["1.2.0-rc.1", "UPTANE_STEP_SKIPPED"],
    ["1.2.0", "accepted"],
    ["1.10.0", "accepted"],
  ])("that needs 1.2.0 at least on an ECU that runs %s: %s", (version, outcome) => {
    const pair = changed("image", withCustom({ ...TRAITS, min_current_version: "1.2.0" }));
    const ecus = [{ ecuId: "ECU_001", hardwareId: "HW-A", version }];
    expect(code(pair, { ecus })).toBe(outcome);
  });

  test("that needs a version which is none", () => {
    const pair = changed("image", withCustom({ ...TRAITS, min_current_version: "newest" }));
    expect(code(pair)).toBe("UPTANE_CUSTOM_MALFORMED");
  });

  test("of which it does not say for what hardware", () => {
    expect(code(changed("image", withCustom({})))).toBe("UPTANE_CUSTOM_MALFORMED");
  });

  test("with a hash in other digits it is the same", () => {
    const pair = changed("image", (file) => ({
      ...file,
      hashes: { sha256: file.hashes["sha256"]?.toUpperCase() ?? "" },
    }));
    expect(code(pair)).toBe("accepted");
  });
});

describe("either repository is verified in full", () => {
  test.each(["director", "image"] as const)("the %s", (side) => {
    for (const role of ["root", "timestamp", "snapshot", "targets"] as const) {
      const pair = repositories();
      pair[side][role].expires = "2026-11-20T11:00:00Z";
      if (role === "root") pair[side].publish("root");
      pair[side].publishAll();
      expect(code(pair)).toBe("UPTANE_EXPIRED");
    }
    const pair = repositories();
    pair[side].files = repositories()[side].files;
    const own = stateOf(repositories());
    expect(refusal(() => verify(pair, own))).toBe("UPTANE_SIGNATURE_MISSING");
  });
});

describe("what a vehicle remembers", () => {
  test("survives a restart", () => {
    const pair = repositories();
    const { state } = verify(pair);
    const stored = JSON.stringify(storeVehicleState(state));
    const restored = restoreVehicleState(JSON.parse(stored), {});
    expect(JSON.stringify(storeVehicleState(restored))).toBe(stored);
    pair.director.timestamp.version = 1;
    pair.director.sign("timestamp");
    expect(code(pair, {}, restored)).toBe("UPTANE_TIMESTAMP_ROLLBACK");
  });

  test.each([undefined, {}, { format: "latticeway-trust/2" }])("is nothing else: %j", (stored) => {
    expect(refusal(() => restoreVehicleState(stored, {}))).toBe("UPTANE_STATE_MALFORMED");
  });

  test("of what was refused, is its new roots alone", () => {
    const pair = repositories();
    const before = stateOf(pair);
    for (const side of [pair.director, pair.image]) side.publish("root");
    pair.image.addTarget(PATH, Buffer.from("other"), TRAITS);
    for (const side of [pair.director, pair.image]) side.publishAll();
    let kept: VehicleState = before;
    const call = () => verify(pair, before, {}, (state) => (kept = state));
    expect(refusal(call)).toBe("UPTANE_IMAGE_MISMATCH");
    expect(kept.director.root.signed.version).toBe(2);
    expect(kept.image.root.signed.version).toBe(2);
    expect(kept).toMatchObject({
      director: { timestamp: undefined, snapshot: undefined, targets: undefined },
      image: { timestamp: undefined, snapshot: undefined, targets: undefined },
      releaseCounters: new Map(),
    });
  });
});
