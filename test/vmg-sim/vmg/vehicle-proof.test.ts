import { expect, it } from "vitest";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { keySigner } from "#crypto/signing-keys.ts";
import type { Vci } from "#protocol/api/vci.ts";
import { verifyVehicleManifest } from "#protocol/uptane/vehicle-manifest.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { vehicleProof } from "#vmg-sim/vmg/vehicle-proof.ts";

const vci: Vci = {
  vin: "VMG-001",
  collected_at: "2026-11-20T12:00:00Z",
  zones: [{ zone_id: "ZG-1" }],
  ecus: [
    {
      ecu_id: "ECU_001",
      zone_id: "ZG-1",
      ecu_type: "brake-controller",
      hardware_version: "HW-1.0",
      software_version: "1.2.3",
    },
    {
      ecu_id: "ECU_002",
      zone_id: "ZG-1",
      ecu_type: "body-controller",
      hardware_version: "HW-2.0",
      software_version: "12345.0.0",
    },
  ],
};

it.each(["ecdsa-p256", "ml-dsa-65"] as const)("signs each VCI with %s anew", async (algorithm) => {
  const folder = testFolder();
  const signer = keySigner(algorithm, generateKeys(algorithm).privateKey);
  const proof = vehicleProof(folder, "VMG-001", signer);
  expect(await proof.nonce()).toBeUndefined();
  const first = await proof.signed(vci);
  const signed = verifyVehicleManifest(first.manifest, signer.publicKey);
  expect(signed).toEqual({
    _type: "vehicle-version-manifest",
    vin: "VMG-001",
    nonce: await proof.nonce(),
    collected_at: vci.collected_at,
    ecus: {
      ECU_001: {
        hardware_id: "brake-controller:HW-1.0",
        version: "1.2.3",
        release_counter: 10_000_200_003,
        attacks_detected: "",
      },
      // A version that can't be counted has no release counter.
      ECU_002: {
        hardware_id: "body-controller:HW-2.0",
        version: "12345.0.0",
        attacks_detected: "",
      },
    },
  });

  const second = await proof.signed(vci);
  expect(second.manifest?.signed.nonce).not.toBe(signed.nonce);
  const afterRestart = vehicleProof(folder, "VMG-001", signer);
  expect(await afterRestart.nonce()).toBe(second.manifest?.signed.nonce);
});
