import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Type } from "typebox";
import type { Signer } from "#crypto/signing-keys.ts";
import type { Vci } from "#protocol/api/vci.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { knownReleaseCounter } from "#protocol/uptane/release-counter.ts";
import { signVehicleManifest, type EcuReport } from "#protocol/uptane/vehicle-manifest.ts";
import { stateFile } from "./state-file.ts";

const NONCE_BYTES = 16;

const LastNonce = Type.Object({ nonce: Type.String({ pattern: "^[0-9a-f]{32}$" }) });

/** The vehicle's signed evidence of what it consists of (Uptane 2.1, vehicle version manifest). */
export interface VehicleProof {
  /**
   * The VCI with a manifest in it, under a nonce that is new and kept.
   * @param attacks by ECU id: what was refused in its last update
   */
  signed(vci: Vci, attacks?: ReadonlyMap<string, string>): Promise<Vci>;
  /** Of the last VCI; undefined when none was ever signed. */
  nonce(): Promise<string | undefined>;
}

export function vehicleProof(folder: string, vin: string, signer: Signer): VehicleProof {
  const file = stateFile(join(folder, "vci-nonce.json"), LastNonce);
  return {
    async signed(vci, attacks = new Map()) {
      const nonce = randomBytes(NONCE_BYTES).toString("hex");
      // Kept before it is told: the answer to a VCI that was sent is never taken for an old one.
      await file.write({ nonce });
      const collected_at = vci.collected_at ?? new Date().toISOString();
      const ecus = Object.fromEntries(
        vci.ecus.map((ecu) => [ecu.ecu_id, reportOf(ecu, attacks.get(ecu.ecu_id))]),
      );
      const manifest = await signVehicleManifest({ vin, nonce, collected_at, ecus }, signer);
      return { ...vci, manifest };
    },
    nonce: async () => (await file.read())?.nonce,
  };
}

function reportOf(ecu: Vci["ecus"][number], attack = ""): EcuReport {
  const { ecu_type, hardware_version, software_version: version } = ecu;
  const release_counter = knownReleaseCounter(version);
  return {
    hardware_id: hardwareId(ecu_type, hardware_version),
    version,
    ...(release_counter !== undefined && { release_counter }),
    attacks_detected: attack,
  };
}
