import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Negotiated } from "#crypto/negotiated.ts";
import { createGatewayClient, type GatewayClient } from "#vmg-sim/vmg/gateway-client.ts";
import { problem, startBadServer, type BadServer } from "./https-server.ts";
import { stillPace } from "./still-pace.ts";

let server: BadServer;
beforeAll(async () => {
  server = await startBadServer("VMG-001");
});
afterAll(() => server.close());

const backoff = { retries: 3, backoff_ms: 100, max_backoff_ms: 1000 };

function client(url = server.url): {
  client: GatewayClient;
  waits: number[];
  connections: Negotiated[];
} {
  const pace = stillPace();
  const connections: Negotiated[] = [];
  const made = createGatewayClient({
    settings: { https_url: url, timeout_ms: 5000, ...backoff },
    tls: server.tls,
    vin: "VMG-001",
    pace,
    onConnected: (connection) => connections.push(connection),
  });
  onTestFinished(() => made.close());
  return { client: made, waits: pace.waits, connections };
}

const answer = { vci_id: "01a1fa93-83c0-773c-8d01-0d1eed73784e", outdated_ecus: [], blocked: [] };
const vci = {
  zones: [{ zone_id: "Z" }],
  ecus: [
    {
      ecu_id: "A",
      zone_id: "Z",
      ecu_type: "t",
      hardware_version: "h",
      software_version: "1.0.0",
    },
  ],
};

describe("gateway client", () => {
  it("posts, gives back what fits the schema, and tells the TLS connection", async () => {
    server.answer((request, response) => {
      expect(request.method).toBe("POST");
      expect(request.url).toBe("/api/v1/vehicles/VMG-001/vci");
      response.end(JSON.stringify(answer));
    });
    const { client: gateway, connections } = client();
    expect(await gateway.submitVci(vci)).toEqual(answer);
    expect(connections).toMatchObject([
      { protocol: "TLSv1.3", group: "X25519MLKEM768", profile: { id: 2 } },
    ]);
  });

  it("gives the code of a problem document and does not try again", async () => {
    let count = 0;
    server.answer((_, response) => {
      count++;
      problem(response, 409, "PACKAGE_NOTHING_OUTDATED");
    });
    const { client: gateway, waits } = client();
    await expect(gateway.requestPackage()).rejects.toMatchObject({
      code: "PACKAGE_NOTHING_OUTDATED",
      status: 409,
      temporary: false,
    });
    expect([count, waits]).toEqual([1, []]);
  });

  it("tries again after 503 and after a cut connection, waiting longer each time", async () => {
    let count = 0;
    server.answer((request, response) => {
      count++;
      if (count === 1) return problem(response, 503, "OVERLOADED");
      if (count === 2) return void request.socket.destroy();
      response.end(JSON.stringify(answer));
    });
    const { client: gateway, waits } = client();
    expect(await gateway.submitVci(vci)).toEqual(answer);
    expect(waits).toEqual([75, 150]);
  });

  it("gives up after its retries", async () => {
    let count = 0;
    server.answer((_, response) => {
      count++;
      problem(response, 503, "OVERLOADED");
    });
    const { client: gateway } = client();
    await expect(gateway.submitVci(vci)).rejects.toMatchObject({ code: "OVERLOADED" });
    expect(count).toBe(backoff.retries + 1);
  });

  it.each([
    ["no JSON", (): string => "<html>"],
    ["another shape", (): string => JSON.stringify({ vci_id: "x" })],
    ["an answer that does not end", (): string => JSON.stringify("x".repeat(2_000_000))],
  ])("refuses %s", async (_, body) => {
    server.answer((_request, response) => response.end(body()));
    const { client: gateway } = client();
    await expect(gateway.submitVci(vci)).rejects.toMatchObject({ code: "GATEWAY_ANSWER_INVALID" });
  });

  it("says that nobody is there", async () => {
    const { client: gateway } = client("https://localhost:1");
    await expect(gateway.submitVci(vci)).rejects.toMatchObject({
      code: "GATEWAY_UNREACHABLE",
      temporary: true,
    });
  });

  it("stops at once when it is told to", async () => {
    const stop = new AbortController();
    server.answer(() => stop.abort(new Error("stopped")));
    const { client: gateway, waits } = client();
    await expect(gateway.submitVci(vci, stop.signal)).rejects.toThrow("stopped");
    expect(waits).toEqual([]);
  });
});
