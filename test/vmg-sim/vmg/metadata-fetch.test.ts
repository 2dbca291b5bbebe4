import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createGatewayClient, type GatewayClient } from "#vmg-sim/vmg/gateway-client.ts";
import { fetchMetadata } from "#vmg-sim/vmg/metadata-fetch.ts";
import { problem, startBadServer, type BadServer } from "./https-server.ts";
import { stillPace } from "./still-pace.ts";

const request = {
  kind: "fetch",
  repository: "director",
  file: "1.targets.json",
  role: "targets",
} as const;

let server: BadServer;
let client: GatewayClient;
const pace = stillPace();
const backoff = { retries: 2, backoff_ms: 10, max_backoff_ms: 20 };
const settings = (timeout_ms: number) => ({ ...backoff, https_url: server.url, timeout_ms });

beforeAll(async () => {
  server = await startBadServer("VMG-001");
  client = createGatewayClient({
    settings: settings(10_000),
    tls: server.tls,
    vin: "VMG-001",
    pace,
  });
});
afterAll(async () => {
  await client.close();
  await server.close();
});

const fetched = (timeoutMs = 10_000, signal = new AbortController().signal, maxBytes = 1000) =>
  fetchMetadata({ client, gateway: settings(timeoutMs), pace }, { ...request, maxBytes }, signal);

it("gives a file of the repository, up to its bound", async () => {
  const paths: (string | undefined)[] = [];
  server.answer(({ url }, response) => {
    paths.push(url);
    response.end(Buffer.alloc(1000, "x"));
  });
  expect(Buffer.from((await fetched()) ?? "").equals(Buffer.alloc(1000, "x"))).toBe(true);
  expect(paths).toEqual(["/api/v1/uptane/director/1.targets.json"]);
});

it("takes none for none", async () => {
  server.answer((_, response) => problem(response, 404, "TRUST_FILE_UNKNOWN"));
  expect(await fetched()).toBeUndefined();
});

it("asks again when the gateway is away, but not for ever", async () => {
  let asked = 0;
  server.answer((_, response) => {
    asked += 1;
    if (asked < 3) problem(response, 503, "STOPPING");
    else response.end("{}");
  });
  expect(Buffer.from((await fetched()) ?? "").toString()).toBe("{}");
  asked = -10;
  await expect(fetched()).rejects.toMatchObject({ code: "STOPPING" });
  expect(asked).toBe(-7);
});

it("does not take a refusal for a file that is missing", async () => {
  server.answer((_, response) => problem(response, 403, "VEHICLE_MISMATCH"));
  await expect(fetched()).rejects.toMatchObject({ code: "VEHICLE_MISMATCH" });
});

it("is done with a file one byte after its bound", async () => {
  server.answer((_, response) => response.end(Buffer.alloc(1001)));
  await expect(fetched()).rejects.toMatchObject({ code: "UPTANE_METADATA_TOO_LARGE" });
});

it("gives up a file that comes too slowly, however steadily", async () => {
  const drips = new Set<ServerResponse>();
  const timer = setInterval(() => {
    for (const response of drips) response.write(" ");
  }, 5);
  try {
    server.answer((_, response) => {
      response.writeHead(200);
      drips.add(response);
      response.once("close", () => drips.delete(response));
    });
    // It never comes to its bound.
    const slow = fetched(60, undefined, Infinity);
    await expect(slow).rejects.toMatchObject({ code: "GATEWAY_UNREACHABLE" });
    await expect(slow).rejects.toThrow("did not arrive within 60 ms");
  } finally {
    clearInterval(timer);
  }
});

it("stops with the vehicle", async () => {
  const stopping = new AbortController();
  server.answer(() => stopping.abort(new Error("the VMG is stopping")));
  await expect(fetched(10_000, stopping.signal)).rejects.toThrow("the VMG is stopping");
});
