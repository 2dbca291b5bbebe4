import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { openGateway, type Gateway } from "#cli/gateway.ts";
import { remoteCar } from "#cli/remote-car.ts";
import { startTunnel } from "#cli/tunnel-entity.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { systemClock } from "#protocol/doip/clock.ts";
import type { DiscoverableGateway } from "#protocol/doip/discovery-socket.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { rawSocket, type RawSocket } from "#test/protocol/doip/raw-socket.ts";
import { testVehicle } from "#test/vmg-sim/vmg/test-vehicle.ts";

const VIN = "LATTICE0000000002";

let gateway: TestGateway;
let mine: Gateway;
let tunnel: DiscoverableGateway;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());
beforeEach(async () => {
  const vehicle = await testVehicle(gateway, { vin: VIN, stateDir: testFolder() });
  await vehicle.agent.started;
  mine = await openGateway({
    LATTICEWAY_URL: gateway.url,
    LATTICEWAY_TOKEN: readFileSync(gateway.app.tokenFile, "utf8").trim(),
    LATTICEWAY_CA: authorityFiles(gateway.config.certs_dir, "server", "ecdsa-p256", "root")
      .certificate,
  });
  const car = await remoteCar(mine, VIN);
  tunnel = await startTunnel({ car, host: "127.0.0.1", port: 0, clock: systemClock });
});
afterEach(async () => {
  await tunnel.close();
  await mine.close();
});

async function tester(source = "0e00"): Promise<RawSocket> {
  const raw = await rawSocket(tunnel.port);
  raw.send(`02fd000500000007${source}0000000000`);
  expect(await raw.receive(17)).toBe(`02fd000600000009${source}00011000000000`);
  return raw;
}

/** What ECU 0x1001 answers, after the acknowledgement and any number of 78s. */
async function ask(raw: RawSocket, uds: string, source = "0e00"): Promise<string> {
  const size = (uds.length / 2 + 4).toString(16).padStart(8, "0");
  raw.send(`02fd8001${size}${source}1001${uds}`);
  expect(await raw.receive(13)).toBe(`02fd8002000000051001${source}00`);
  for (;;) {
    const head = await raw.receive(12);
    const answer = await raw.receive(Number.parseInt(head.slice(8, 16), 16) - 4);
    if (!(answer.startsWith("7f") && answer.endsWith("78"))) return answer;
  }
}

const sessions = async (status: string, as: Caller = gateway.admin) =>
  (await as.send("GET", `/api/v1/diagnostics/sessions?vin=${VIN}&status=${status}`)).json.items;
const requests = async () =>
  (await gateway.admin.send("GET", `/api/v1/diagnostics/results?vin=${VIN}`)).json.items.length;

describe("a tester that enters a session through the tunnel", () => {
  test("has it kept up by the car, and the ECU to itself", async () => {
    const raw = await tester();
    expect(await ask(raw, "1003")).toMatch(/^5003/);
    const [open] = await sessions("open");
    expect(open).toMatchObject({ ecu_id: "ECU_001", uds_session: "03" });
    expect(await ask(raw, "22f186")).toBe("62f18603");
    const before = await requests();
    for (let i = 0; i < 3; i++) expect(await ask(raw, "3e00")).toBe("7e00");
    expect(await requests()).toBe(before);
    expect(await ask(raw, "3e01")).toBe("7f3e12");
    const { json } = await gateway.admin.send("POST", "/api/v1/diagnostics/send", {
      body: { vin: VIN, ecu_id: "ECU_001", service_id: "22", data: "F190" },
    });
    expect(json.code).toBe("ECU_LOCKED");
    const other = await tester("0e01");
    expect(await ask(other, "1003", "0e01")).toBe("7f1022");
    expect(await ask(raw, "1001")).toMatch(/^5001/);
    expect(await sessions("open")).toEqual([]);
    expect(await ask(other, "22f186", "0e01")).toBe("62f18601");
  });

  test("may keep it up in silence, to all ECUs as well, at no cost to the others", async () => {
    const raw = await tester();
    await ask(raw, "1003");
    const before = await requests();
    raw.send("02fd8001000000060e0010013e80", "02fd8001000000060e00e0003e80");
    expect(await raw.receive(26)).toBe("02fd80020000000510010e000002fd800200000005e0000e0000");
    expect(await ask(raw, "22f186")).toBe("62f18603");
    expect(await requests()).toBe(before + 1);
  });

  test("leaves it when it goes", async () => {
    const raw = await tester();
    await ask(raw, "1003");
    raw.socket.destroy();
    await vi.waitFor(async () => expect(await sessions("open")).toEqual([]));
    const next = await tester("0e01");
    expect(await ask(next, "22f186", "0e01")).toBe("62f18601");
  });

  test("hears that it is over when somebody has ended it", async () => {
    const raw = await tester();
    await ask(raw, "1003");
    await gateway.admin.send("POST", "/api/v1/diagnostics/revoke", {
      body: { vin: VIN, reason: "stop" },
    });
    expect(await ask(raw, "22f186")).toBe("7f227f");
    expect(await ask(raw, "1003")).toMatch(/^5003/);
  });

  test("is refused a session that the ECU does not have", async () => {
    expect(await ask(await tester(), "1044")).toBe("7f1012");
    expect(await sessions("open")).toEqual([]);
  });
});
