import { createPrivateKey, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { loadVehicleIdentity } from "#crypto/pki.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import type { Vci } from "#protocol/api/vci.ts";
import { verifyFully, type FullVerification } from "#protocol/uptane/full-verification.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { runWorkflow } from "#protocol/uptane/run-workflow.ts";
import { signVehicleManifest, type VehicleManifest } from "#protocol/uptane/vehicle-manifest.ts";
import { newVehicleState, type VehicleState } from "#protocol/uptane/vehicle-state.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import type { Caller, TestGateway } from "#test/helpers/gateway.ts";

/** The roots that a vehicle is built with. */
export async function firstRoots({ config }: TestGateway) {
  const read = (name: string) => readFile(join(config.certs_dir, "trust", `${name}.root.json`));
  return { director: await read("director"), image: await read("image") };
}

export interface Fetched {
  path: string;
  status: number;
  bytes: Buffer;
}

/** Verifies all that the gateway serves to a vehicle, over its own HTTPS. */
export async function verifyAs(
  { gateway, vehicle, vin }: { gateway: TestGateway; vehicle: Caller; vin: string },
  options: { state?: VehicleState; nonce?: string; vci?: Vci; fetched?: Fetched[] } = {},
): Promise<FullVerification> {
  const { vci = sampleVci(), fetched = [] } = options;
  const state = options.state ?? newVehicleState(await firstRoots(gateway), {});
  const ecus = vci.ecus.map(({ ecu_id, ecu_type, hardware_version }) => ({
    ecuId: ecu_id,
    hardwareId: hardwareId(ecu_type, hardware_version),
  }));
  const about = { vin, ecus, ...(options.nonce !== undefined && { nonce: options.nonce }) };
  return runWorkflow(verifyFully(state, about, { now: new Date() }), async (step) => {
    if (step.kind !== "fetch") return undefined;
    const path = `/api/v1/uptane/${step.repository}/${step.file}`;
    const { status, bytes } = await vehicle.send("GET", path);
    fetched.push({ path, status, bytes });
    return status === 200 ? bytes : undefined;
  });
}

/** The key of the vehicle's certificate. */
export async function vehicleSigner(
  { config }: TestGateway,
  vin: string,
  algorithm: KeyAlgorithm = "ecdsa-p256",
): Promise<Signer> {
  const { key } = await loadVehicleIdentity(config.certs_dir, vin, algorithm);
  return keySigner(algorithm, createPrivateKey(key));
}

export const newNonce = () => randomBytes(16).toString("hex");

/** A manifest that says of a vehicle what its VCI says. */
export function manifestOf(
  { vin, nonce, vci }: { vin: string; nonce: string; vci: Vci },
  signer: Signer,
  attacks: Record<string, string> = {},
): Promise<VehicleManifest> {
  const ecus = vci.ecus.map(({ ecu_id, ecu_type, hardware_version, software_version }) => [
    ecu_id,
    {
      hardware_id: hardwareId(ecu_type, hardware_version),
      version: software_version,
      attacks_detected: attacks[ecu_id] ?? "",
    },
  ]);
  const collected_at = new Date().toISOString();
  return signVehicleManifest({ vin, nonce, collected_at, ecus: Object.fromEntries(ecus) }, signer);
}

/** Registers a vehicle and submits its VCI with signed evidence. @returns the nonce in it */
export async function submitSigned(
  { gateway, vehicle, vin }: { gateway: TestGateway; vehicle: Caller; vin: string },
  vci: Vci = sampleVci(),
): Promise<string> {
  const nonce = newNonce();
  const manifest = await manifestOf({ vin, nonce, vci }, await vehicleSigner(gateway, vin));
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  const body = { ...vci, manifest };
  const answer = await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body });
  if (answer.status !== 200) throw new Error(answer.bytes.toString());
  return nonce;
}
