import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { keySigner } from "#crypto/signing-keys.ts";
import type { VehicleManifest } from "#protocol/uptane/vehicle-manifest.ts";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { manifestOf, newNonce, submitSigned, vehicleSigner } from "./vehicle-client.ts";

let gateway: TestGateway;
let vehicle: Caller;
let vin: string;
let vehicles = 0;

beforeAll(async () => {
  gateway = await startGateway({ tls: { profiles: [2, 8] } });
  await publish(gateway.admin, { ecu_type: "brake", version: "1.2.3" });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-E${++vehicles}`;
  vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
});

const vci = sampleVci();
const submit = (manifest: unknown, by = vehicle) =>
  by.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: { ...vci, manifest } });
const history = async () =>
  (await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/vci`)).json.items as {
    evidence: string;
    nonce: string | null;
  }[];
const evidence = async () =>
  ((await gateway.admin.send("GET", `/api/v1/vehicles/${vin}`)).json as { evidence: string })
    .evidence;
const signed = async (nonce = newNonce(), about = vci) =>
  manifestOf({ vin, nonce, vci: about }, await vehicleSigner(gateway, vin));

describe("a VCI", () => {
  test("that the vehicle has signed is evidence, and says so with its nonce", async () => {
    expect(await evidence()).toBeNull();
    const nonce = newNonce();
    expect((await submit(await signed(nonce))).status).toBe(200);
    expect(await history()).toMatchObject([{ evidence: "signed", nonce }]);
    expect(await evidence()).toBe("signed");
  });

  test("is evidence under an ML-DSA certificate too", async () => {
    const quantum = await gateway.vehicle(vin, 8);
    const signer = await vehicleSigner(gateway, vin, "ml-dsa-65");
    const manifest = await manifestOf({ vin, nonce: newNonce(), vci }, signer);
    expect((await submit(manifest, quantum)).status).toBe(200);
    expect(await evidence()).toBe("signed");
    // The key of that certificate is not the key of this connection's.
    expect(problemOf(await submit(manifest))).toBe("VCI_MANIFEST_INVALID");
  });

  test("by MQTT is evidence too, and a wrong one is acknowledged and dropped", async () => {
    const client = await gateway.mqtt(vin);
    const nonce = newNonce();
    const send = (manifest: unknown) =>
      client.publishAsync(`vehicle/${vin}/vci`, JSON.stringify({ ...vci, manifest }), { qos: 1 });
    const manifest = await signed(nonce);
    await send(manifest);
    await send({ ...(await signed()), signatures: (await signed()).signatures });
    await send(await signed(nonce));
    await send(manifest);
    expect(await history()).toMatchObject([{ evidence: "signed", nonce }]);
    const lines = gateway.log.filter(({ vehicle: of, code }) => of === vin && code !== undefined);
    const refused = lines.map(({ code }) => String(code));
    expect(refused.toSorted()).toEqual(["VCI_MANIFEST_INVALID", "VCI_NONCE_REPEATED"]);
  });

  test("that tells of attacks is kept with them, shown to the operator and warned of once", async () => {
    const told = async () => {
      const { json } = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}`);
      return (json as { attacks_detected: unknown }).attacks_detected;
    };
    const tell = async (attacks: Record<string, string>) =>
      manifestOf({ vin, nonce: newNonce(), vci }, await vehicleSigner(gateway, vin), attacks);
    expect(await told()).toEqual([]);
    const manifest = await tell({ ECU_002: "UPTANE_SIGNATURE_INVALID" });
    await Promise.all([submit(manifest), submit(manifest)]);
    const attacks = [{ ecu_id: "ECU_002", attack: "UPTANE_SIGNATURE_INVALID" }];
    expect(await told()).toEqual(attacks);
    const warnings = gateway.log.filter(({ vehicle: of, level }) => of === vin && level === 40);
    expect(warnings).toMatchObject([{ attacks_detected: attacks }]);
    expect((await submit(await tell({}))).status).toBe(200);
    expect(await told()).toEqual([]);
    expect(await history()).toMatchObject([
      { attacks_detected: [] },
      { attacks_detected: attacks },
    ]);
  });

  test("of a simple client is taken, as its word", async () => {
    expect((await submit(undefined)).status).toBe(200);
    expect(await history()).toMatchObject([{ evidence: "unsigned", nonce: null }]);
    expect(await evidence()).toBe("unsigned");
  });

  test("that comes again is answered as the first time, and kept once", async () => {
    const manifest = await signed();
    const [first, again] = await Promise.all([submit(manifest), submit(manifest)]);
    expect(first.status).toBe(200);
    expect(first.json.outdated_ecus).toMatchObject([{ ecu_id: "ECU_001" }]);
    expect(again.json).toEqual(first.json);
    expect((await submit(manifest)).json).toEqual(first.json);
    expect(await history()).toHaveLength(1);
    expect((await submit(await signed())).status).toBe(200);
    expect(await history()).toHaveLength(2);
  });

  const newer = sampleVci({ ECU_001: "1.2.3" });
  test.each<[string, (nonce: string, manifest: VehicleManifest) => Promise<object>]>([
    ["other versions", async (nonce) => ({ ...newer, manifest: await signed(nonce, newer) })],
    ["another manifest", async (nonce) => ({ ...vci, manifest: await signed(nonce) })],
    ["another reason", async (_nonce, manifest) => ({ ...vci, reason: "requested", manifest })],
  ])("may not have the nonce of the one before with %s", async (_, make) => {
    const nonce = newNonce();
    const manifest = await signed(nonce);
    expect((await submit(manifest)).status).toBe(200);
    const body = await make(nonce, manifest);
    const answer = await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body });
    expect(problemOf(answer)).toBe("VCI_NONCE_REPEATED");
    expect(await history()).toHaveLength(1);
  });

  test("that comes again late contradicts no update", async () => {
    const manifest = await signed();
    await submit(manifest);
    const { update_id } = (await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } }))
      .json as { update_id: string };
    for (const status of ["installing", "completed"]) {
      const report = { update_id, status, progress: 50, ts: new Date().toISOString() };
      const answer = await vehicle.send("POST", "/api/v1/ota/status", { body: report });
      expect(answer.status).toBe(204);
    }
    const update = async () =>
      (await gateway.admin.send("GET", `/api/v1/updates/${update_id}`)).json as { status: string };
    expect((await submit(manifest)).status).toBe(200);
    expect(await update()).toMatchObject({ status: "health_check" });
    expect((await submit(await signed())).status).toBe(200);
    expect(await update()).toMatchObject({ status: "failed" });
  });

  const other = sampleVci({ ECU_001: "0.9.0" });
  test.each<[string, () => Promise<unknown>]>([
    [
      "by another key",
      () =>
        manifestOf(
          { vin, nonce: newNonce(), vci },
          keySigner("ecdsa-p256", generateKeys("ecdsa-p256").privateKey),
        ),
    ],
    [
      "about another vehicle",
      async () =>
        manifestOf({ vin: "VMG-OTHER", nonce: newNonce(), vci }, await vehicleSigner(gateway, vin)),
    ],
    ["with other versions", () => signed(newNonce(), other)],
    [
      "and then altered",
      async () => {
        const manifest: VehicleManifest = await signed();
        return { ...manifest, signed: { ...manifest.signed, nonce: newNonce() } };
      },
    ],
  ])("signed %s is refused, and nothing of it is kept", async (_name, make) => {
    const answer = await submit(await make());
    expect(problemOf(answer)).toBe("VCI_MANIFEST_INVALID");
    expect(await history()).toEqual([]);
  });
});

describe("an update that a vehicle refused for its metadata", () => {
  test("keeps the code and shows it", async () => {
    await submitSigned({ gateway, vehicle, vin });
    const { update_id } = (await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } }))
      .json as { update_id: string };
    const error = {
      code: "UPTANE_IMAGE_MISMATCH",
      message: "director and image repository differ",
    };
    const ts = new Date().toISOString();
    const report = { update_id, status: "failed", progress: 10, error, ts };
    const answer = await vehicle.send("POST", "/api/v1/ota/status", { body: report });
    expect(answer.status).toBe(204);
    const update = await gateway.admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(update.json).toMatchObject({ status: "failed", error, events: [{ error }] });
  });
});
