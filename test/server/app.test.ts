import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { connect as connectPlain, createServer } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ServerConfig } from "#config/server.ts";
import { loadVehicleIdentity } from "#crypto/pki.ts";
import { startApp } from "#server/app.ts";
import { startFailure } from "#server/runtime/start-failure.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { publish, sampleVci, uploadForm } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { openSocket, rawRequest, tlsAs } from "#test/server/raw-client.ts";

const vin = "VMG-001";
let gateway: TestGateway;
let vehicle: Caller;

beforeAll(async () => {
  gateway = await startGateway();
  vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
});
afterAll(() => gateway.close());

const inFlight = async () =>
  (await gateway.admin.send("GET", "/healthz")).json.in_flight.https as number;

const anyIdentity = () => loadVehicleIdentity(gateway.config.certs_dir, vin);

const json = ["content-type: application/json"];

/** Body of a request that the test lets go when it likes. */
function heldBody(bytes: Buffer): { body: Readable; release: () => void } {
  let release = () => {};
  const released = new Promise<void>((done) => {
    release = done;
  });
  async function* parts() {
    yield bytes.subarray(0, bytes.length / 2);
    await released;
    yield bytes.subarray(bytes.length / 2);
  }
  return { body: Readable.from(parts()), release };
}

describe("a gateway that is stopped", () => {
  it("finishes an upload that is under way, and keeps it", async () => {
    const form = uploadForm({ ecu_type: "late", version: "1.0.0", image: randomBytes(4_000_000) });
    const { body, release } = heldBody(form.body);
    const uploading = gateway.admin.send("POST", "/api/v1/firmware", {
      raw: { type: form.type, body },
    });
    await vi.waitFor(async () => expect(await inFlight()).toBe(1));
    const restarted = gateway.restart();
    release();
    expect((await uploading).status).toBe(201);
    await restarted;
    const list = await gateway.admin.send("GET", "/api/v1/firmware?ecu_type=late");
    expect(list.json.items).toHaveLength(1);
  });

  it("finishes a download that is under way", async () => {
    await publish(gateway.admin, {
      ecu_type: "brake",
      version: "9.0.0",
      image: randomBytes(8_000_000),
    });
    await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
    const { json } = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    const downloading = vehicle.send("GET", json.download_url);
    await vi.waitFor(async () => expect(await inFlight()).toBe(1), { interval: 1 });
    await gateway.restart();
    expect((await downloading).bytes).toHaveLength(json.size);
  });

  it("answers who waits for a diagnostic result, rather than let them wait", async () => {
    const client = await gateway.mqtt(vin);
    await client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
    const reached = new Promise((heard) => client.once("message", heard));
    const asked = await gateway.admin.send("POST", "/api/v1/diagnostics/send", {
      body: { vin, ecu_id: "ECU_001", service_id: "3E", data: "00", timeout_ms: 60_000 },
    });
    const path = `/api/v1/diagnostics/results/${asked.json.request_id}`;
    const waiting = gateway.admin.send("GET", `${path}?wait_ms=60000`);
    await reached;
    await vi.waitFor(async () => expect(await inFlight()).toBe(1));
    await gateway.restart();
    const answer = await waiting;
    expect([answer.status, answer.json.completed_at]).toEqual([200, null]);
    await client.endAsync(true);
  });

  it("has stored every message that it acknowledged, up to the last moment", async () => {
    const client = await gateway.mqtt(vin);
    const acknowledged: number[] = [];
    for (let n = 0; n < 1500; n++) {
      const sample = JSON.stringify({ ts: new Date().toISOString(), n });
      client.publish(`vehicle/${vin}/telemetry`, sample, { qos: 1 }, (error) => {
        if (!error) acknowledged.push(n);
      });
    }
    await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(0), { interval: 1 });
    await gateway.restart();
    await client.endAsync(true);
    const stored = new Set<number>();
    for (let cursor: string | null = ""; cursor !== null;) {
      const query: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const { json } = await gateway.admin.send(
        "GET",
        `/api/v1/vehicles/${vin}/telemetry?limit=500${query}`,
      );
      for (const { signals } of json.items) stored.add(signals.n);
      cursor = json.next_cursor;
    }
    expect(acknowledged.filter((n) => !stored.has(n))).toEqual([]);
  });

  it("is not held up by connections that do nothing, secured or not, by HTTPS or MQTT", async () => {
    const idle = [
      await openSocket(gateway, "https", await tlsAs(gateway)),
      await openSocket(gateway, "mqtt", await tlsAs(gateway, await anyIdentity())),
      connectPlain(gateway.app.ports.mqtt, "localhost").on("error", () => {}),
    ];
    await gateway.admin.send("GET", "/healthz");
    await gateway.restart();
    for (const socket of idle) socket.destroy();
    expect((await gateway.admin.send("GET", "/healthz")).status).toBe(200);
  });

  it("is not held up for ever by a request that does not come to its end", async () => {
    const { https } = gateway.config;
    const grace = https.stop_grace_ms;
    https.stop_grace_ms = 200;
    await gateway.restart();
    const socket = await openSocket(gateway, "https", await tlsAs(gateway, await anyIdentity()));
    const post = rawRequest("POST", "/api/v1/vehicles/register", json, "{}");
    socket.write(post.slice(0, -1));
    await vi.waitFor(async () => expect(await inFlight()).toBe(1));
    https.stop_grace_ms = grace;
    await gateway.restart();
    expect(await inFlight()).toBe(0);
    socket.destroy();
  });

  it("refuses what comes on a connection that is still open", async () => {
    const form = uploadForm({ ecu_type: "held", version: "1.0.0", image: randomBytes(1_000_000) });
    const { body, release } = heldBody(form.body);
    const raw = { type: form.type, body };
    const uploading = gateway.admin.send("POST", "/api/v1/firmware", { raw });
    await vi.waitFor(async () => expect(await inFlight()).toBe(1));
    const socket = await openSocket(gateway, "https", await tlsAs(gateway));
    const [head = ""] = rawRequest("GET", "/healthz").split("\r\n\r\n");
    socket.write(`${head}\r\n`);
    const restarted = gateway.restart();
    await vi.waitFor(async () => {
      const late = connectPlain(gateway.app.ports.https, "localhost");
      const refused = await once(late, "connect").then(
        () => false,
        () => true,
      );
      late.destroy();
      expect(refused).toBe(true);
    });
    socket.write("\r\n");
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer.toString()).toContain('"code":"STOPPING"');
    release();
    expect((await uploading).status).toBe(201);
    await restarted;
  });

  it("takes nothing new, and is gone from both ports", async () => {
    const { ports } = gateway.app;
    await gateway.restart();
    for (const port of [ports.https, ports.mqtt]) {
      const socket = connectPlain(port, "localhost");
      const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
      expect(error.code).toBe("ECONNREFUSED");
    }
  });
});

describe("a gateway that can't start", () => {
  const silent = pino({ level: "silent" });

  async function refusal(change: (config: ServerConfig) => ServerConfig): Promise<Error> {
    const folder = temporaryFolder();
    const config = change({
      ...gateway.config,
      data_dir: join(folder.path, "data"),
      certs_dir: gateway.config.certs_dir,
    });
    try {
      const app = await startApp(config, silent);
      await app.close();
      return new Error("it started");
    } catch (error) {
      return error as Error;
    } finally {
      folder.remove();
    }
  }

  it("as its port is taken says so, and leaves nothing open", async () => {
    const { https } = gateway.app.ports;
    const mqtt = await freePort();
    const error = await refusal((config) => ({
      ...config,
      https: { ...config.https, port: https },
      mqtt: { ...config.mqtt, port: mqtt },
    }));
    expect(error.message).toMatch(/EADDRINUSE/);
    const socket = connectPlain(mqtt, "localhost");
    const [refused] = (await once(socket, "error")) as [NodeJS.ErrnoException];
    expect(refused.code).toBe("ECONNREFUSED");
    const again = await refusal((config) => ({
      ...config,
      https: { ...config.https, port: 0 },
      mqtt: { ...config.mqtt, port: mqtt },
    }));
    expect(again.message).toBe("it started");
  });

  it("as its folder is in use says so", async () => {
    const error = await refusal((config) => ({ ...config, data_dir: gateway.config.data_dir }));
    const embedded = gateway.app.database === "embedded";
    expect(error.message).toMatch(embedded ? /in use by another process/ : /it started/);
    const told = embedded ? `DATABASE_NOT_OPENED: ${error.message}` : "it started";
    expect(embedded ? startFailure(error) : error.message).toBe(told);
  });

  it("as PostgreSQL is not there says so", async () => {
    const url = `postgres://localhost:${await freePort()}/none`;
    const error = await refusal((config) => ({ ...config, database: { ...config.database, url } }));
    expect(String(error)).toMatch(/ECONNREFUSED/);
  });
});

describe("the first operator token", () => {
  it("is for its owner alone, and lives on over a restart", async () => {
    expect(statSync(gateway.app.tokenFile).mode & 0o777).toBe(0o600);
    const before = readFileSync(gateway.app.tokenFile, "utf8");
    await gateway.restart();
    expect(readFileSync(gateway.app.tokenFile, "utf8")).toBe(before);
  });

  it("is made again when it was revoked or its file is gone", async () => {
    const tokens = await gateway.admin.send("GET", "/api/v1/operators/tokens");
    const [first] = tokens.json.items as { token_id: string }[];
    await gateway.admin.send("DELETE", `/api/v1/operators/tokens/${first?.token_id}`);
    await gateway.restart();
    const token = readFileSync(gateway.app.tokenFile, "utf8").trim();
    const answer = await gateway.operator(token).send("GET", "/api/v1/vehicles");
    expect(answer.status).toBe(200);
    expect((await gateway.admin.send("GET", "/api/v1/vehicles")).status).toBe(401);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "localhost");
  await once(server, "listening");
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  return typeof address === "object" && address !== null ? address.port : 0;
}
