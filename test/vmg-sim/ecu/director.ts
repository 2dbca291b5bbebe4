import { createHash } from "node:crypto";
import {
  encodeRequestDownload,
  METADATA_ADDRESS,
  startRoutine,
} from "#protocol/uds/programming.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { encodeEcuBundle } from "#protocol/uptane/ecu-bundle.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import { testRepository, type TestRepository } from "#test/protocol/uptane/test-repository.ts";
import { transferRequests } from "./ecu-rig.ts";

/** An ECU as the tests assign something to it. */
export interface AssignedEcu {
  ecu_id: string;
  ecu_type: string;
  hardware_version: string;
}

/** A director of one vehicle, which the tests change as they like. */
export interface TestDirector extends TestRepository {
  /** The root that ECUs are built with. */
  firstRoot: Buffer;
  assign(ecu: AssignedEcu, version: string, image: Buffer, more?: object): void;
  /** What the VMG hands over, with roots that are newer than this version. */
  bundle(knownRoot?: number): Buffer;
}

export function testDirector(vin: string): TestDirector {
  const repository = testRepository();
  repository.targets["custom"] = { vin };
  const file = (name: string) => {
    const found = repository.files.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  return {
    ...repository,
    firstRoot: file("1.root.json"),
    assign({ ecu_id, ecu_type, hardware_version }, version, image, more = {}) {
      repository.addTarget(`${ecu_type}/${version}.bin`, image, {
        ecu_id,
        hardware_id: hardwareId(ecu_type, hardware_version),
        release_counter: releaseCounter(version),
        ...more,
      });
      repository.publish("targets");
    },
    bundle(knownRoot = 1) {
      const { root, targets } = repository;
      const roots = Array.from({ length: root.version - knownRoot }, (_, index) =>
        file(`${knownRoot + 1 + index}.root.json`),
      );
      return encodeEcuBundle({ roots, targets: file(`${targets.version}.targets.json`) });
    },
  };
}

/** The requests that hand metadata over and have it verified; the ECU is unlocked before. */
export function metadataRequests(bundle: Uint8Array, blockLength = 0xffff): Uint8Array[] {
  return [
    encodeRequestDownload({ dataFormat: 0, address: METADATA_ADDRESS, length: bundle.length }),
    ...transferRequests(bundle, blockLength),
    Uint8Array.of(0x37),
    startRoutine(Rid.verifyMetadata),
  ];
}

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
