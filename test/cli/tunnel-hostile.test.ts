import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { systemClock, type Clock } from "#protocol/doip/clock.ts";
import type { DiscoverableGateway } from "#protocol/doip/discovery-socket.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { manualClock } from "#test/protocol/doip/manual-clock.ts";
import { rawSocket, type RawSocket } from "#test/protocol/doip/raw-socket.ts";
import { testVehicle, type TestVehicle } from "#test/vmg-sim/vmg/test-vehicle.ts";
import { openGateway, type Gateway } from "#cli/gateway.ts";
import { remoteCar } from "#cli/remote-car.ts";
import { startTunnel, type TunnelledExchange } from "#cli/tunnel-entity.ts";

const VIN = "LATTICE0000000001";
const ECU = "1001";

let gateway: TestGateway;
let vehicle: TestVehicle;
let client: Gateway;
let tunnel: DiscoverableGateway;
let exchanges: TunnelledExchange[];

beforeAll(async () => {
  gateway = await startGateway();
  // A gateway that comes back does so where it was.
  gateway.config.https.port = gateway.app.ports.https;
  gateway.config.mqtt.port = gateway.app.ports.mqtt;
});
afterAll(() => gateway.close());

beforeEach(async () => {
  vehicle = await testVehicle(gateway, { vin: VIN });
  await vehicle.agent.started;
});
afterEach(async () => {
  await tunnel.close();
  await client.close();
});

async function open({ clock = systemClock, token }: { clock?: Clock; token?: string } = {}) {
  exchanges = [];
  client = await openGateway({
    LATTICEWAY_URL: gateway.url,
    LATTICEWAY_TOKEN: token ?? readFileSync(gateway.app.tokenFile, "utf8").trim(),
    LATTICEWAY_CA: authorityFiles(gateway.config.certs_dir, "server", "ecdsa-p256", "root")
      .certificate,
  });
  tunnel = await startTunnel({
    car: await remoteCar(client, VIN),
    host: "127.0.0.1",
    port: 0,
    clock,
    onExchange: (exchange) => exchanges.push(exchange),
  });
}

const frame = (type: string, payload: string) =>
  `02fd${type}${(payload.length / 2).toString(16).padStart(8, "0")}${payload}`;
const diagnostic = (uds: string, source = "0e00", target = ECU) =>
  frame("8001", source + target + uds);
const nack = (code: string, source = "0e00", target = ECU) => frame("8003", target + source + code);

async function tester(source = "0e00"): Promise<RawSocket> {
  const raw = await rawSocket(tunnel.port);
  raw.send(frame("0005", `${source}0000000000`));
  expect(await raw.receive(17)).toBe(frame("0006", `${source}00011000000000`));
  return raw;
}

/** The next frame's type and what is behind the addresses. */
async function next(raw: RawSocket): Promise<{ type: string; said: string }> {
  const header = await raw.receive(8);
  const payload = await raw.receive(Number.parseInt(header.slice(8), 16));
  return { type: header.slice(4, 8), said: payload.slice(8) };
}

/** The final answer, once the tunnel has room for the request. */
async function answerTo(raw: RawSocket, uds: string, source = "0e00"): Promise<string> {
  raw.send(diagnostic(uds, source));
  for (;;) {
    const { type, said } = await next(raw);
    if (type === "8003") raw.send(diagnostic(uds, source));
    else if (type === "8001" && !said.endsWith("78")) return said;
  }
}

describe("a tunnel", () => {
  test("refuses what a tester asks too much, and still serves another", async () => {
    await open();
    const flooding = await tester();
    const TIMES = 500;
    flooding.send(diagnostic("22f186").repeat(TIMES));
    expect(await answerTo(await tester("0e01"), "22f186", "0e01")).toBe("62f18601");
    const heard = { taken: 0, full: 0, answered: 0 };
    while (heard.taken + heard.full < TIMES || heard.answered < heard.taken) {
      const { type, said } = await next(flooding);
      if (type === "8002") heard.taken += 1;
      else if (type === "8003") heard.full += Number(said === "05");
      else heard.answered += Number(!said.endsWith("78"));
    }
    expect(heard.taken).toBeGreaterThanOrEqual(32);
    expect(heard.full).toBeGreaterThan(0);
    expect(await answerTo(flooding, "22f186")).toBe("62f18601");
  });

  test.each([
    ["to an unknown target", diagnostic("3e00", "0e00", "7777"), nack("03", "0e00", "7777")],
    ["to the tunnel itself", diagnostic("3e00", "0e00", "0001"), nack("03", "0e00", "0001")],
    ["in another tester's name", diagnostic("3e00", "0e01"), nack("02", "0e01")],
    ["of 4,096 bytes", diagnostic("36".repeat(4_096)), nack("04")],
    ["of 8,196 bytes", diagnostic("36".repeat(8_196)), frame("0000", "02")],
    ["of 4 GiB", "02fd8001ffffffff", frame("0000", "02")],
  ])("refuses a request %s", async (_, request, refusal) => {
    await open();
    const raw = await tester();
    raw.send(request);
    expect(await raw.receive(refusal.length / 2)).toBe(refusal);
    raw.socket.resetAndDestroy();
    expect(await answerTo(await tester("0e01"), "22f186", "0e01")).toBe("62f18601");
    expect(exchanges).toHaveLength(1);
  });

  test("carries a request of 4,095 bytes", async () => {
    await open();
    expect(await answerTo(await tester(), "22".padEnd(2 * 4_095, "f1"))).toMatch(/^7f22/);
  });

  test("gives an ECU back whose tester left while its session was being opened", async () => {
    await open();
    const [ecu] = vehicle.hardware.zones.flatMap(({ ecus }) => ecus);
    ecu?.setBehaviour({ slowMs: 300 });
    const leaving = await tester();
    leaving.send(diagnostic("1003"));
    // Response pending: the car has been asked.
    expect(await leaving.receive(13 + 15)).toMatch(/7f1078$/);
    leaving.socket.resetAndDestroy();
    await expect.poll(() => exchanges.length).toBe(1);
    ecu?.setBehaviour({});
    const raw = await tester("0e01");
    await expect
      .poll(() => answerTo(raw, "1003", "0e01"), { timeout: 10_000 })
      .toBe("5003003201f4");
  });

  test("leaves its session to a tester that has taken the place of a dead one", async () => {
    const clock = manualClock();
    await open({ clock });
    const dead = await tester();
    await answerTo(dead, "22f186");
    dead.socket.pause();
    const coming = tester();
    // It is asked whether it is alive, says nothing, and takes no notice of the end either.
    let isIn = false;
    void coming.finally(() => {
      isIn = true;
    });
    await expect.poll(() => (clock.advance(500), isIn)).toBe(true);
    const raw = await coming;
    expect(await answerTo(raw, "1003")).toBe("5003003201f4");
    clock.advance(2_000);
    dead.socket.resume();
    await dead.closed();
    expect(await answerTo(raw, "22f186")).toBe("62f18603");
    expect(await answerTo(raw, "1001")).toBe("5001003201f4");
  });

  test("says that the gateway is away, and goes on when it is back", async () => {
    await open();
    const raw = await tester();
    expect(await answerTo(raw, "22f186")).toBe("62f18601");
    const coming = gateway.restart();
    await expect.poll(() => answerTo(raw, "22f186")).toBe("7f2225");
    await coming;
    await expect.poll(() => answerTo(raw, "22f186"), { timeout: 20_000 }).toBe("62f18601");
    const failed = exchanges.flatMap(({ outcome }) =>
      outcome.kind === "failed" ? [outcome.code] : [],
    );
    expect(failed).toContain("GATEWAY_UNREACHABLE");
  });

  test("says that the token has been revoked: authentication is required", async () => {
    const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
      body: { name: "workshop", role: "diagnostician" },
    });
    await open({ token: json.token as string });
    const raw = await tester();
    expect(await answerTo(raw, "22f186")).toBe("62f18601");
    expect(await answerTo(raw, "1003")).toBe("5003003201f4");
    await gateway.admin.send("DELETE", `/api/v1/operators/tokens/${json.token_id}`);
    expect(await answerTo(raw, "22f186")).toBe("7f2234");
    expect(await answerTo(raw, "1003")).toBe("7f1034");
    expect(exchanges.at(-1)?.outcome).toMatchObject({ kind: "failed", code: "TOKEN_INVALID" });
  });
});
