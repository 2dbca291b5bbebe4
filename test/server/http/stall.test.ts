import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadVehicleIdentity } from "#crypto/pki.ts";
import { publish, sampleVci, uploadForm } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { logged, openSocket, rawRequest, tlsAs } from "#test/server/raw-client.ts";

const vin = "VMG-001";
let gateway: TestGateway;
let vehicle: Caller;
let downloadUrl: string;

beforeAll(async () => {
  gateway = await startGateway({
    https: { stall_timeout_ms: 500 },
    packages: { downloads_per_vehicle: 2 },
    firmware: { compression_level: 1 },
  });
  vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  // More than the kernel's buffers of a connection hold.
  await publish(gateway.admin, {
    ecu_type: "brake",
    version: "9.0.0",
    image: randomBytes(32_000_000),
  });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  const { json } = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
  downloadUrl = json.download_url;
});
afterAll(() => gateway.close());

/** A download of which nothing is read but the first bytes. */
async function stalledDownload(): Promise<TLSSocket> {
  const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
  const socket = await openSocket(gateway, "https", await tlsAs(gateway, identity));
  socket.write(`GET ${downloadUrl} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await once(socket, "readable");
  return socket;
}

const inFlight = async () =>
  (await gateway.admin.send("GET", "/healthz")).json.in_flight.https as number;

describe("a connection on which nothing moves", () => {
  it("in the middle of an answer is cut off, and the log has the request", async () => {
    await stalledDownload();
    const line = await logged(
      gateway,
      ({ msg, cut }) => cut === true && msg === `[HTTPS] GET ${downloadUrl}`,
    );
    expect(line).toMatchObject({ status: 200, vehicle: vin });
    await logged(gateway, ({ msg }) => msg === "[HTTPS] Stalled connection cut off");
    expect(await inFlight()).toBe(0);
    const metrics = (await gateway.admin.send("GET", "/metrics")).bytes.toString();
    expect(metrics).toMatch(/latticeway_http_request_seconds_count\{.*status="cut"\} 1/);
  });

  it("in the middle of a JSON body is cut off", async () => {
    const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
    const socket = await openSocket(gateway, "https", await tlsAs(gateway, identity));
    const whole = rawRequest(
      "POST",
      "/api/v1/vehicles/register",
      ["content-type: application/json"],
      "{}",
    );
    socket.write(whole.slice(0, -1));
    socket.resume();
    await once(socket, "close");
    expect(await inFlight()).toBe(0);
  });

  it("in the middle of an upload is cut off, and nothing of it is kept", async () => {
    const before = gateway.log.length;
    const form = uploadForm({ ecu_type: "late", version: "1.0.0", image: randomBytes(2_000_000) });
    const token = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
      body: { name: "uploader", role: "admin" },
    });
    const socket = await openSocket(gateway, "https", await tlsAs(gateway));
    const bytes = form.body;
    socket.write(
      `POST /api/v1/firmware HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${form.type}\r\n` +
        `authorization: Bearer ${token.json.token}\r\ncontent-length: ${bytes.length}\r\n\r\n`,
    );
    socket.write(bytes.subarray(0, bytes.length / 2));
    socket.resume();
    await once(socket, "close");
    await vi.waitFor(() =>
      expect(gateway.log.slice(before)).toContainEqual(
        expect.objectContaining({ code: "UPLOAD_INCOMPLETE" }),
      ),
    );
    const list = await gateway.admin.send("GET", "/api/v1/firmware?ecu_type=late");
    expect(list.json.items).toEqual([]);
  });

  it("is left alone while the gateway is the one that thinks", async () => {
    await gateway.mqtt(vin);
    const asked = await gateway.admin.send("POST", "/api/v1/diagnostics/send", {
      body: { vin, ecu_id: "ECU_001", service_id: "3E", data: "00", timeout_ms: 60_000 },
    });
    const path = `/api/v1/diagnostics/results/${asked.json.request_id}`;
    const answer = await gateway.admin.send("GET", `${path}?wait_ms=1500`);
    expect(answer.status).toBe(200);
  });
});

describe("downloads of one vehicle", () => {
  it("are few at once; the next one may come when one has ended", async () => {
    const open = await Promise.all([stalledDownload(), stalledDownload()]);
    const third = await vehicle.send("GET", downloadUrl);
    expect([third.status, problemOf(third)]).toEqual([429, "DOWNLOADS_TOO_MANY"]);
    expect(third.headers["retry-after"]).toBe("5");
    expect(third.headers["etag"]).toBeUndefined();
    expect((await vehicle.send("HEAD", downloadUrl)).status).toBe(200);
    for (const socket of open) socket.destroy();
    await vi.waitFor(async () => {
      const part = await vehicle.send("GET", downloadUrl, { headers: { range: "bytes=0-9" } });
      expect(part.status).toBe(206);
    });
  });
});
