import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_METADATA_BYTES } from "#protocol/uptane/metadata.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import {
  attacker,
  downloads,
  flash,
  packageOf,
  reported,
  retarget,
  update,
  vehicleBehind,
  type Attack,
} from "./attacked-vehicle.ts";
import type { Repositories } from "./tampering-gateway.ts";

const TYPE = "brake-controller";
const VERSION = "1.2.3";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
  await publish(gateway.admin, { ecu_type: TYPE, version: VERSION, image: randomBytes(300_000) });
});
afterAll(() => gateway.close());

const past = "2026-01-01T00:00:00Z";
const onlyFirst =
  (name: "director" | "image", role: string, index: number) => (all: Repositories) => {
    const { signers } = all[name];
    signers.set(role, (signers.get(role) ?? []).slice(index, index + 1));
  };

const attacks: [code: string, name: string, attack: Attack][] = [
  [
    "UPTANE_EXPIRED",
    "expired director targets",
    { before: ({ director }) => (director.targets.expires = past) },
  ],
  [
    "UPTANE_EXPIRED",
    "an expired timestamp of the images",
    { before: ({ image }) => (image.timestamp.expires = past) },
  ],
  [
    "UPTANE_SIGNATURE_MISSING",
    "director targets without a post-quantum signature",
    { before: onlyFirst("director", "targets", 0) },
  ],
  [
    "UPTANE_SIGNATURE_MISSING",
    "image targets without a classical signature",
    { before: onlyFirst("image", "targets", 1) },
  ],
  [
    "UPTANE_SIGNATURE_MISSING",
    "director targets that an online key of the images has signed",
    {
      before: ({ director, image }) =>
        void director.signers.set("targets", image.signers.get("snapshot") ?? []),
    },
  ],
  [
    "UPTANE_VIN_MISMATCH",
    "another vehicle's director",
    {
      before: ({ director }) =>
        (director.targets["custom"] = {
          ...(director.targets["custom"] as object),
          vin: "VMG-999",
        }),
    },
  ],
  [
    "UPTANE_NONCE_STALE",
    "an answer to an older report",
    {
      before: ({ director }) =>
        (director.targets["custom"] = {
          ...(director.targets["custom"] as object),
          nonce: "0".repeat(32),
        }),
    },
  ],
  [
    "UPTANE_NONCE_STALE",
    "an answer to no report at all",
    { before: ({ director }) => (director.targets["custom"] = { vin: "META-1" }) },
  ],
  [
    "UPTANE_DIRECTOR_EMPTY",
    "nothing assigned, to keep it at its version",
    { before: ({ director }) => (director.targets.targets = {}) },
  ],
  [
    "UPTANE_ECU_UNKNOWN",
    "an ECU that is not there",
    { before: retarget((file) => (file.custom["ecu_id"] = "ECU_009")) },
  ],
  [
    "UPTANE_HARDWARE_MISMATCH",
    "an image for other hardware",
    { before: retarget((file) => (file.custom["hardware_id"] = `${TYPE}:HW-9`)) },
  ],
  [
    "UPTANE_HARDWARE_MISMATCH",
    "an image for another type of ECU that names this one's hardware",
    {
      before: ({ director, image }) => {
        const path = `${TYPE}/${VERSION}.bin`;
        for (const { targets } of [director.targets, image.targets]) {
          const file = targets[path];
          if (file) targets[`lights/${VERSION}.bin`] = file;
          delete targets[path];
        }
      },
    },
  ],
  [
    "UPTANE_RELEASE_ROLLBACK",
    "a release below the one that runs",
    { before: retarget((file) => (file.custom["release_counter"] = 1)) },
  ],
  [
    "UPTANE_IMAGE_MISMATCH",
    "a director that disagrees with the images",
    { before: retarget((file) => (file.hashes["sha256"] = "0".repeat(64))) },
  ],
  [
    "UPTANE_STEP_SKIPPED",
    "a release that needs one in between",
    {
      before: ({ image }) => {
        const file = image.targets.targets[`${TYPE}/${VERSION}.bin`];
        if (file) file.custom = { ...file.custom, min_current_version: "1.1.0" };
      },
    },
  ],
  [
    "UPTANE_TARGET_UNKNOWN",
    "an image that no release key has signed",
    { before: ({ image }) => (image.targets.targets = {}) },
  ],
  [
    "UPTANE_CUSTOM_MALFORMED",
    "a target without an ECU",
    { before: retarget((file) => delete file.custom["ecu_id"]) },
  ],
  [
    "UPTANE_DIRECTOR_DELEGATES",
    "a director that delegates",
    {
      before: ({ director }) => {
        director.delegate("targets", "other");
      },
    },
  ],
  [
    "UPTANE_PACKAGE_MISMATCH",
    "another package than the assigned one",
    { before: retarget((file) => (packageOf(file)["id"] = "pkg-other")) },
  ],
  [
    "UPTANE_TARGETS_MISMATCH",
    "targets of another version than the snapshot lists",
    {
      after: ({ director }) => {
        const { version } = director.targets;
        const older = director.files.get(`${version - 1}.targets.json`);
        if (older) director.files.set(`${version}.targets.json`, older);
      },
    },
  ],
  [
    "UPTANE_METADATA_MISSING",
    "a snapshot that is withheld",
    { after: ({ image }) => void image.files.delete(`${image.snapshot.version}.snapshot.json`) },
  ],
  [
    "UPTANE_METADATA_MALFORMED",
    "metadata that is no JSON",
    { after: ({ director }) => void director.files.set("timestamp.json", Buffer.from("{")) },
  ],
  [
    "UPTANE_METADATA_DUPLICATE_KEY",
    "a key that comes twice",
    {
      after: ({ director }) =>
        void director.files.set(
          "timestamp.json",
          Buffer.from('{"signed":{},"signed":{},"signatures":[]}'),
        ),
    },
  ],
  [
    "UPTANE_METADATA_TOO_DEEP",
    "metadata nested thousands deep",
    {
      after: ({ image }) => void image.files.set("timestamp.json", Buffer.from("[".repeat(20_000))),
    },
  ],
  [
    "UPTANE_METADATA_TOO_LARGE",
    "a timestamp beyond its bound",
    {
      after: ({ director }) =>
        void director.files.set(
          "timestamp.json",
          Buffer.alloc(MAX_METADATA_BYTES.timestamp + 1, " "),
        ),
    },
  ],
  [
    "UPTANE_ROOT_SKIPPED",
    "a root in the place of the one before it",
    {
      after: ({ director }) => {
        const root = director.files.get("3.root.json");
        if (root) director.files.set("2.root.json", root);
      },
      before: ({ director }) => {
        director.publish("root", "root");
      },
    },
  ],
];

describe("a vehicle whose gateway is in wrong hands", () => {
  const vin = "META-1";
  let updates = 0;

  it.each(attacks)("refuses with %s: %s", async (code, _, attack) => {
    const tampering = await attacker(gateway, vin);
    const vehicle = await vehicleBehind(tampering, vin);
    await vehicle.agent.started;
    const before = flash(vehicle);
    tampering.attack = attack;
    const { status, error } = await update(vehicle);
    expect([status, error?.code]).toEqual(["failed", code]);
    expect(await reported(gateway, vin, ++updates)).toBe(code);
    expect(downloads(tampering)).toEqual([]);
    expect(flash(vehicle)).toEqual(before);
  });
});
