import { X509Certificate } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { folderIssuer } from "#crypto/certificate-issuer.ts";
import { readCertificateRequest } from "#crypto/certificate-request.ts";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { issueVehicleCertificate } from "#crypto/pki.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { fingerprintOf } from "#test/server/certificates/identity.ts";
import { provisionVehicle } from "#vmg-sim/provision.ts";
import { renewalTime } from "#vmg-sim/vmg/certificate-renewal.ts";
import { openIdentity } from "#vmg-sim/vmg/identity.ts";
import { testVehicle, type TestVehicle } from "./test-vehicle.ts";

const DAY = 86_400_000;
let gateway: TestGateway;
beforeAll(async () => {
  // Twelve seconds: so that a vehicle renews twice while the test looks on.
  gateway = await startGateway({ certificates: { vehicle_days: 12_000 / DAY } });
});
afterAll(() => gateway.close());

/** A factory certificate of which so many days are over, and so many left. */
async function factory(vehicleId: string, over: number, left: number): Promise<string> {
  const files = await issueVehicleCertificate(gateway.config.certs_dir, {
    vehicleId,
    notBefore: new Date(Date.now() - over * DAY),
    notAfter: new Date(Date.now() + left * DAY),
  });
  return fingerprintOf(readFileSync(files.certificate, "utf8"));
}

async function lengthen(days: number): Promise<void> {
  gateway.config.certificates.vehicle_days = days;
  await gateway.restart();
}

const records = async (vin: string) =>
  (await gateway.admin.send("GET", `/api/v1/certificates?vin=${vin}`)).json.items as Record<
    string,
    string
  >[];

/** Resolves with the MQTT connections that the vehicle has had, when there are so many. */
async function connections(vehicle: TestVehicle, count: number): Promise<void> {
  const made = () =>
    vehicle.events.filter((event) => event.type === "connected" && event.via === "mqtt").length;
  await vehicle.event("connected", () => made() >= count);
}

describe("a vehicle whose certificate lives for seconds", () => {
  it("renews it again and again, and proves its VCIs with the key of the moment", async () => {
    const vin = "RNW-001";
    // It is less than what the gateway issues, or the vehicle would keep what it has.
    await factory(vin, 1, 8000 / DAY);
    const vehicle = await testVehicle(gateway, { vin });
    const first = await vehicle.event("certificate_renewed");
    const second = await vehicle.event(
      "certificate_renewed",
      ({ serial }) => serial !== first.serial,
    );
    expect(Date.parse(second.not_after)).toBeGreaterThan(Date.parse(first.not_after));
    await connections(vehicle, 3);
    const found = await records(vin);
    const serials = found.map(({ serial }) => serial);
    expect(serials).toEqual(expect.arrayContaining([first.serial, second.serial]));
    await vehicle.agent.updater.update({ reason: "requested" }, AbortSignal.timeout(30_000));
    const vcis = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/vci`);
    expect(vcis.json.items[0]).toMatchObject({ reason: "requested", evidence: "signed" });
    await vehicle.stop();
  });
});

describe("a vehicle in the last third of its certificate's life", () => {
  it("renews it at once, connects anew, and comes back with it after a restart", async () => {
    await lengthen(365);
    const vin = "RNW-002";
    const before = await factory(vin, 200, 90);
    const stateDir = testFolder();
    const vehicle = await testVehicle(gateway, { vin, stateDir });
    const renewed = await vehicle.event("certificate_renewed");
    await connections(vehicle, 2);
    await vehicle.agent.started;
    const file = join(vehicle.folder, "vmg", "identity.pem");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const [issued] = await records(vin);
    expect(issued).toMatchObject({ serial: renewed.serial, issued_by: "renewal" });
    // With what it had before it could not do anything any more.
    const revoked = await gateway.admin.send("POST", "/api/v1/certificates/revoke", {
      body: { fingerprint: before },
    });
    expect(revoked.status).toBe(200);
    await vehicle.agent.updater.update({ reason: "requested" }, AbortSignal.timeout(30_000));
    await vehicle.stop();
    const again = await testVehicle(gateway, { vin, stateDir });
    await again.agent.started;
    expect(again.events.map(({ type }) => type)).not.toContain("certificate_renewed");
    await again.stop();
  });

  it("keeps what it has while the gateway issues none that lasts longer, and goes on trying", async () => {
    const vin = "RNW-003";
    await factory(vin, 200, 90);
    // Valid for less than what is left of the old one.
    await lengthen(30);
    const vehicle = await testVehicle(gateway, { vin });
    await vehicle.agent.started;
    await vi.waitFor(async () => expect((await records(vin)).length).toBeGreaterThan(2), {
      timeout: 30_000,
      interval: 50,
    });
    expect(vehicle.events.map(({ type }) => type)).not.toContain("certificate_renewed");
    await vehicle.stop();
  });

  it("leaves one alone that has longer to go", async () => {
    const certificate = async (over: number, left: number) => {
      const vehicleId = `RNW-${over}-${left}`;
      await factory(vehicleId, over, left);
      const { tls } = await provisionVehicle(gateway.config.certs_dir, vehicleId, 2);
      return new X509Certificate(String(tls.cert));
    };
    const isDue = (each: X509Certificate) => renewalTime(each, 1 / 3) <= Date.now();
    expect(isDue(await certificate(65, 35))).toBe(false);
    expect(isDue(await certificate(68, 32))).toBe(true);
  });
});

describe("a vehicle's identity", () => {
  const vin = "RNW-010";
  const issuer = () => folderIssuer(gateway.config.certs_dir);
  const order = (vehicleId: string, days: number) => (csr: string) =>
    issuer().issue({
      vehicleId,
      publicKey: readCertificateRequest(csr).publicKey,
      lifetimeMs: days * DAY,
    });
  const open = async (folder: string) => {
    await factory(vin, 10, 10);
    const { tls } = await provisionVehicle(gateway.config.certs_dir, vin, 2);
    return openIdentity(folder, vin, tls);
  };

  it.each([true, false])("is renewed with a new key: %s", async (newKey) => {
    const folder = testFolder();
    const identity = await open(folder);
    const { publicKey } = identity.signer;
    await identity.renew(newKey, order(vin, 365));
    expect(identity.signer.publicKey.equals(publicKey)).toBe(!newKey);
    expect(identity.certificate.publicKey.equals(identity.signer.publicKey)).toBe(true);
    const again = await open(folder);
    expect(again.certificate.serialNumber).toBe(identity.certificate.serialNumber);
    expect(again.tls.key).toBe(identity.tls.key);
  });

  it.each<[string, (csr: string) => Promise<string>]>([
    ["for another vehicle", (csr) => order("RNW-011", 365)(csr)],
    ["that ends no later", (csr) => order(vin, 5)(csr)],
    [
      "for another key",
      () =>
        issuer().issue({
          vehicleId: vin,
          publicKey: generateKeys("ecdsa-p256").publicKey,
          lifetimeMs: 365 * DAY,
        }),
    ],
  ])("is not exchanged for a certificate %s", async (_name, issue) => {
    const folder = testFolder();
    const identity = await open(folder);
    const { serialNumber } = identity.certificate;
    await expect(identity.renew(true, issue)).rejects.toMatchObject({
      code: "CERTIFICATE_NOT_AS_ORDERED",
    });
    expect(identity.certificate.serialNumber).toBe(serialNumber);
    expect((await open(folder)).certificate.serialNumber).toBe(serialNumber);
  });

  it("that can't be read says so", async () => {
    const folder = testFolder();
    const identity = await open(folder);
    await identity.renew(true, order(vin, 365));
    const file = join(folder, "identity.pem");
    writeFileSync(file, readFileSync(file, "utf8").slice(0, 100));
    await expect(open(folder)).rejects.toMatchObject({ code: "STATE_FILE_INVALID" });
  });
});
