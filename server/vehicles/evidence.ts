import { createHash, type KeyObject } from "node:crypto";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Vci } from "#protocol/api/vci.ts";
import type { DetectedAttack } from "#protocol/api/vehicle.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import {
  checkReports,
  VehicleManifestError,
  verifyVehicleManifest,
} from "#protocol/uptane/vehicle-manifest.ts";

/** What stands behind a VCI: the vehicle's signature, or its word. */
export interface Evidence {
  evidence: "signed" | "unsigned";
  /** Of the signed manifest. */
  nonce: string | null;
  /** SHA-256 of a signed VCI, for one that comes again. */
  digest: Buffer | null;
  /** What the signed manifest says of attacks. */
  attacks: DetectedAttack[];
}

/**
 * Verifies the manifest that a VCI carries with the key of the certificate of the connection it came
 * by, and that the two say the same of the vehicle. A VCI without one is the word of a simple client.
 * @param certificateKey asked only when there is a manifest; undefined when the connection is gone
 * @throws ProblemError VCI_MANIFEST_INVALID
 */
export function evidenceOf(
  vin: string,
  vci: Vci,
  certificateKey: () => KeyObject | undefined,
): Evidence {
  const { manifest, ecus } = vci;
  if (manifest === undefined)
    return { evidence: "unsigned", nonce: null, digest: null, attacks: [] };
  const key = certificateKey();
  // Not the vehicle's fault: it sends again.
  if (key === undefined) throw new Error("the connection ended before the manifest was verified");
  try {
    const signed = verifyVehicleManifest(manifest, key);
    const reported = ecus.map(({ ecu_id, ecu_type, hardware_version, software_version }) => ({
      ecu_id,
      hardware_id: hardwareId(ecu_type, hardware_version),
      version: software_version,
    }));
    checkReports(signed, { vin, ecus: reported });
    const digest = createHash("sha256").update(JSON.stringify(vci)).digest();
    const attacks = Object.entries(signed.ecus).flatMap(([ecu_id, { attacks_detected: attack }]) =>
      attack === "" ? [] : { ecu_id, attack },
    );
    return { evidence: "signed", nonce: signed.nonce, digest, attacks };
  } catch (error) {
    if (!(error instanceof VehicleManifestError)) throw error;
    throw new ProblemError("VCI_MANIFEST_INVALID", error.message);
  }
}
