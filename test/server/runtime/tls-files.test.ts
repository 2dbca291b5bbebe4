import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { authorityFiles, serverFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki, issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { logged, openSocket, tlsAs } from "#test/server/raw-client.ts";
import { fingerprintOf, orderFor } from "#test/server/certificates/identity.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

/** In seconds. */
const DAY = 86_400;
const listeners = ["https", "mqtt"] as const;
const files = () => serverFiles(gateway.config.certs_dir, "ecdsa-p256");

/** The fingerprint of the certificate that each listener shows. */
async function shown(): Promise<string[]> {
  const certificates: string[] = [];
  for (const listener of listeners) {
    const socket = await openSocket(gateway, listener, await tlsAs(gateway));
    certificates.push(fingerprintOf(certificateOf(socket)));
    socket.destroy();
  }
  return certificates;
}

function certificateOf(socket: TLSSocket): string {
  return socket.getPeerX509Certificate()?.toString() ?? "";
}

/** Another certificate and key of the same authority, in a folder of their own. */
async function renewed() {
  const folder = temporaryFolder();
  onTestFinished(folder.remove);
  for (const level of ["root", "issuing"] as const) {
    for (const tree of ["server", "vehicle"] as const) {
      const from = authorityFiles(gateway.config.certs_dir, tree, "ecdsa-p256", level);
      const to = authorityFiles(folder.path, tree, "ecdsa-p256", level);
      mkdirSync(dirname(to.key), { recursive: true });
      copyFileSync(from.certificate, to.certificate);
      copyFileSync(from.key, to.key);
    }
  }
  await ensureDevelopmentPki(folder.path, { algorithms: ["ecdsa-p256"] });
  const next = serverFiles(folder.path, "ecdsa-p256");
  return { ...next, fingerprint: fingerprintOf(readFileSync(next.certificate, "utf8")) };
}

describe("a server certificate that is replaced", () => {
  it("is shown by new connections of both listeners, without a stop", async () => {
    const before = await shown();
    const client = await gateway.mqtt("VMG-001");
    const next = await renewed();
    copyFileSync(next.key, files().key);
    copyFileSync(next.certificate, files().certificate);
    await vi.waitFor(
      async () => expect(await shown()).toEqual([next.fingerprint, next.fingerprint]),
      { timeout: 10_000, interval: 50 },
    );
    expect(before).not.toContain(next.fingerprint);
    expect(client.connected).toBe(true);
    await client.publishAsync("vehicle/VMG-001/heartbeat", heartbeat(), { qos: 1 });
  });

  it.each<[string, (next: string, file: string) => void]>([
    ["that is no PEM", (_next, file) => writeFileSync(file, "broken")],
    ["that is not its key's", copyFileSync],
    ["that is gone", (_next, file) => rmSync(file)],
  ])("by one %s stays in use, and the log says so", async (_name, breakIt) => {
    const before = await shown();
    const next = await renewed();
    breakIt(next.certificate, files().certificate);
    expect(await gateway.app.reload()).toBe(false);
    await logged(
      gateway,
      (line) => line["level"] === 50 && /those before/.test(String(line["msg"])),
    );
    expect(await shown()).toEqual(before);
    copyFileSync(next.key, files().key);
    copyFileSync(next.certificate, files().certificate);
    expect(await gateway.app.reload()).toBe(true);
    expect(await shown()).toEqual([next.fingerprint, next.fingerprint]);
  });
});

describe("a client CA that is replaced", () => {
  it("lets its vehicles in, and those of the one before no more", async () => {
    const vin = "VMG-001";
    const certs = gateway.config.certs_dir;
    await issueVehicleCertificate(certs, { vehicleId: vin });
    const old = await tlsAs(gateway, await loadVehicleIdentity(certs, vin));
    const foreign = temporaryFolder();
    onTestFinished(foreign.remove);
    await ensureDevelopmentPki(foreign.path, { algorithms: ["ecdsa-p256"] });
    await issueVehicleCertificate(foreign.path, { vehicleId: vin });
    const other = await tlsAs(gateway, await loadVehicleIdentity(foreign.path, vin));
    const register = (options: typeof old) =>
      gateway.as(options).send("POST", "/api/v1/vehicles/register", { body: { vin } });
    expect((await register(other)).status).toBe(401);
    const root = (folder: string) =>
      authorityFiles(folder, "vehicle", "ecdsa-p256", "root").certificate;
    const before = readFileSync(root(certs));
    onTestFinished(() => {
      writeFileSync(root(certs), before);
    });
    copyFileSync(root(foreign.path), root(certs));
    expect(await gateway.app.reload()).toBe(true);
    expect((await register(other)).status).toBe(201);
    expect((await register(old)).status).toBe(401);
  });
});

describe("the metrics", () => {
  it("say when each certificate in use expires", async () => {
    const name = (certificate: string) =>
      `latticeway_certificate_expires_seconds{certificate="${certificate}"}`;
    expect(await metricValue(name("server/ecdsa-p256"))).toBeGreaterThan(824 * DAY);
    expect(await metricValue(name("vehicle-ca/ml-dsa-65/issuing"))).toBeGreaterThan(3649 * DAY);
    expect(await metricValue(name("server/ml-dsa-44"))).toBeUndefined();
  });
});

describe("vehicles that have not renewed", () => {
  it("are counted when their last certificate expires within 30 days", async () => {
    const enrol = async (vin: string) => {
      const path = "/api/v1/certificates";
      const made = await gateway.admin.send("POST", `${path}/enrollment-tokens`, { body: { vin } });
      const body = { csr: orderFor(vin).csr, token: made.json.token as string };
      await gateway.operator("").send("POST", `${path}/enroll`, { body });
    };
    gateway.config.certificates.vehicle_days = 29;
    await gateway.restart();
    for (const vin of ["VMG-001", "VMG-001", "VMG-002", "VMG-003", "VMG-004"]) await enrol(vin);
    await gateway.admin.send("POST", "/api/v1/certificates/revoke", { body: { vin: "VMG-003" } });
    gateway.config.certificates.vehicle_days = 31;
    await gateway.restart();
    await enrol("VMG-004");
    expect(await metricValue("latticeway_vehicle_certificates_expiring")).toBe(2);
  });
});

function heartbeat(): string {
  return JSON.stringify({ ts: new Date().toISOString(), state: "idle" });
}

async function metricValue(start: string): Promise<number | undefined> {
  const { bytes } = await gateway.admin.send("GET", "/metrics");
  const lines = bytes.toString().split("\n");
  const line = lines.find((each) => each.startsWith(`${start} `));
  return line === undefined ? undefined : Number(line.slice(start.length + 1));
}
