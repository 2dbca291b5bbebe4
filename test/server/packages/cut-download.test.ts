import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { loadVehicleIdentity } from "#crypto/pki.ts";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { changeByte } from "#test/server/blobs/change-byte.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { openSocket, tlsAs } from "#test/server/raw-client.ts";

const vin = "VMG-CUT";
let gateway: TestGateway;
let vehicle: Caller;

beforeAll(async () => {
  gateway = await startGateway({ firmware: { max_size: 100_000_000, compression_level: 1 } });
  vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
});
afterAll(() => gateway.close());

it("a download whose blob changes on the way is cut before its end, and not begun again", async () => {
  // More than the sockets between gateway and vehicle hold.
  const image = randomBytes(48_000_000);
  const { compressed_sha256: sha256 } = (await publish(gateway.admin, {
    ecu_type: "brake",
    version: "2.0.0",
    image,
  })) as unknown as { compressed_sha256: string };
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  const { json } = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });

  const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
  const socket = await openSocket(gateway, "https", await tlsAs(gateway, identity));
  const closed = new Promise((done) => socket.once("close", done));
  socket.write(`GET ${json.download_url} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  const first = await new Promise<Buffer>((came) => {
    socket.once("data", (chunk: Buffer) => {
      socket.pause();
      came(chunk);
    });
  });
  changeByte(join(gateway.config.data_dir, "blobs", sha256.slice(0, 2), sha256.slice(2)), 0);
  let received = first.length - (first.indexOf("\r\n\r\n") + 4);
  socket.on("data", (chunk: Buffer) => (received += chunk.length));
  socket.resume();
  await closed;

  expect(first.toString("latin1")).toMatch(/^HTTP\/1\.1 200 /);
  expect(received).toBeGreaterThan(0);
  expect(received).toBeLessThan(json.size);
  await vi.waitFor(() =>
    expect(gateway.log.map(({ err }) => (err as { code?: string } | undefined)?.code)).toContain(
      "BLOB_CORRUPT",
    ),
  );
  const again = await vehicle.send("GET", json.download_url, {
    headers: { range: `bytes=${received}-` },
  });
  expect(problemOf(again)).toBe("BLOB_CORRUPT");
});
