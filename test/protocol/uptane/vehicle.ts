import { createHash } from "node:crypto";
import type { Vehicle } from "#protocol/uptane/assignment.ts";
import { verifyFully, type FullVerification } from "#protocol/uptane/full-verification.ts";
import type { Checks } from "#protocol/uptane/trusted.ts";
import { newVehicleState, type VehicleState } from "#protocol/uptane/vehicle-state.ts";
import { answering } from "./run.ts";
import {
  NOW,
  testRepository,
  type RepositoryOptions,
  type TestRepository,
} from "./test-repository.ts";

export const IMAGE = Buffer.from("firmware of ECU_001");
export const PATH = "brake/ECU_001-1.1.0.bin";
export const ASSIGNED = {
  ecu_id: "ECU_001",
  hardware_id: "HW-A",
  release_counter: 5,
  zone_id: "ZG-FRONT",
  install_order: 1,
  package: {
    id: "P-1",
    sha256: createHash("sha256").update("package").digest("hex"),
    length: 100,
    path: "zones/ZG-FRONT/ECU_001-1.1.0.bin.zst",
    encoding: "zstd",
  },
};
export const TRAITS = {
  ecu_type: "brake",
  hardware_ids: ["HW-A", "HW-B"],
  version: "1.1.0",
  release_counter: 5,
};
export const VEHICLE: Vehicle = {
  ecus: [
    { ecuId: "ECU_001", hardwareId: "HW-A", releaseCounter: 4 },
    { ecuId: "ECU_002", hardwareId: "HW-C" },
  ],
  vin: "VMG-001",
  nonce: "nonce-1",
};

export interface Repositories {
  director: TestRepository;
  image: TestRepository;
}

/** A director and an image repository that agree on one image for ECU_001 of VMG-001. */
export function repositories(options: RepositoryOptions = {}): Repositories {
  const director = testRepository(options);
  const image = testRepository(options);
  director.targets["custom"] = { vin: "VMG-001", nonce: "nonce-1" };
  director.addTarget(PATH, IMAGE, ASSIGNED);
  image.addTarget(PATH, IMAGE, TRAITS);
  director.publishAll();
  image.publishAll();
  return { director, image };
}

export function stateOf({ director, image }: Repositories, checks: Partial<Checks> = {}) {
  const root = ({ files }: TestRepository) => files.get("1.root.json") ?? Buffer.alloc(0);
  return newVehicleState({ director: root(director), image: root(image) }, checks);
}

/** Runs full verification; `persisted` hears of each state that is final before the end. */
export function verify(
  pair: Repositories,
  state: VehicleState = stateOf(pair),
  vehicle: Partial<Vehicle> = {},
  persisted?: (state: VehicleState) => void,
): FullVerification {
  const checks = { now: NOW };
  return answering(verifyFully(state, { ...VEHICLE, ...vehicle }, checks), (step) => {
    if (step.kind === "fetch") return pair[step.repository].files.get(step.file);
    persisted?.(step.state);
    return undefined;
  });
}
