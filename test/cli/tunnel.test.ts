import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
} from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { rawSocket, type RawSocket } from "#test/protocol/doip/raw-socket.ts";
import { testVehicle, type TestVehicle } from "#test/vmg-sim/vmg/test-vehicle.ts";
import {
  commandEnvironment,
  latticeway,
  startTunnel,
  type RunningTunnel,
} from "./running-tunnel.ts";

const VIN = "LATTICE0000000001";
const run = promisify(execFile);

let gateway: TestGateway;
let vehicle: TestVehicle;
let tunnel: RunningTunnel;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

const size = (uds: string) => (uds.length / 2 + 4).toString(16).padStart(8, "0");
const to = (target: string, uds: string, source = "0e00") =>
  `02fd8001${size(uds)}${source}${target}${uds}`;
const from = (ecu: string, uds: string, tester = "0e00") =>
  `02fd8001${size(uds)}${ecu}${tester}${uds}`;

async function tester(source = "0e00"): Promise<RawSocket> {
  const raw = await rawSocket(tunnel.tcp);
  raw.send(`02fd000500000007${source}0000000000`);
  expect(await raw.receive(17)).toBe(`02fd000600000009${source}00011000000000`);
  return raw;
}

/** The answer to a request, after its acknowledgement and any number of 78s. */
async function answerTo(raw: RawSocket, ecu: string, uds: string, source = "0e00") {
  raw.send(to(ecu, uds, source));
  expect(await raw.receive(13)).toBe(`02fd800200000005${ecu}${source}00`);
  return nextAnswer(raw);
}

async function nextAnswer(raw: RawSocket): Promise<{ ecu: string; uds: string }> {
  const head = await raw.receive(12);
  const uds = await raw.receive(Number.parseInt(head.slice(8, 16), 16) - 4);
  if (uds.startsWith("7f") && uds.endsWith("78")) return nextAnswer(raw);
  return { ecu: head.slice(16, 20), uds };
}

const vinRecord = `62f190${Buffer.from(VIN).toString("hex")}`;

describe("a tunnel to a car", () => {
  const record = () => join(folder, "session.pcapng");
  let folder: string;

  beforeEach(async () => {
    folder = testFolder();
    vehicle = await testVehicle(gateway, { vin: VIN, stateDir: folder });
    await vehicle.agent.started;
    tunnel = await startTunnel(gateway, VIN, "--record", record());
  });
  afterEach(() => tunnel.kill());

  test("lets a tester reach each ECU, and shows what goes by", async () => {
    const raw = await tester();
    expect(await answerTo(raw, "1001", "22f190")).toEqual({ ecu: "1001", uds: vinRecord });
    expect(await answerTo(raw, "2001", "22f190")).toEqual({ ecu: "2001", uds: vinRecord });
    expect(await answerTo(raw, "1002", "221234")).toEqual({ ecu: "1002", uds: "7f2231" });
    expect(await tunnel.stop()).toBe(0);
    const shown = tunnel.lines.join("\n");
    expect(shown).toContain("0x1001 ECU_001 (ZG-FRONT)");
    expect(shown).toMatch(/0x0E00 → ECU_002: 221234 → 7F2231 \(\d+ ms\)/);
  });

  test("asks all ECUs at once, each answering for itself", async () => {
    const raw = await tester();
    raw.send(to("e000", "22f190"));
    expect(await raw.receive(13)).toBe("02fd800200000005e0000e0000");
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await nextAnswer(raw));
    expect(answers.map(({ ecu }) => ecu).toSorted()).toEqual(["1001", "1002", "2001", "2002"]);
    expect(new Set(answers.map(({ uds }) => uds))).toEqual(new Set([vinRecord]));
  });

  test("has room for several testers", async () => {
    const [first, second] = [await tester("0e00"), await tester("0e01")];
    const asked = [answerTo(first, "1001", "22f190"), answerTo(second, "1001", "3e00", "0e01")];
    expect(await Promise.all(asked)).toEqual([
      { ecu: "1001", uds: vinRecord },
      { ecu: "1001", uds: "7e00" },
    ]);
  });

  test("keeps a tester waiting by 78 while an ECU takes its time", async () => {
    const [ecu] = vehicle.hardware.zones.flatMap(({ ecus }) => ecus);
    ecu?.setBehaviour({ slowMs: 300 });
    const raw = await tester();
    raw.send(to("1001", "22f190"));
    await raw.receive(13);
    expect(await raw.receive(15)).toBe(from("1001", "7f2278"));
    expect(await nextAnswer(raw)).toEqual({ ecu: "1001", uds: vinRecord });
  });

  test("says in an ECU's place that nothing came back when the car is gone", async () => {
    const raw = await tester();
    await vehicle.agent.stop();
    expect(await answerTo(raw, "1001", "22f190")).toEqual({ ecu: "1001", uds: "7f2225" });
    await expect.poll(() => tunnel.lines.at(-1)).toContain("VEHICLE_OFFLINE");
  });

  test("is recorded at the gateway, and as a file that Wireshark reads", async (context) => {
    requirePeer(context, "tshark");
    const raw = await tester();
    await answerTo(raw, "1001", "22f190");
    await tunnel.stop();
    const { json } = await gateway.admin.send(
      "GET",
      `/api/v1/diagnostics/results?vin=${VIN}&limit=1`,
    );
    expect(json.items[0]).toMatchObject({ ecu_id: "ECU_001", request_data: "22F190" });
    const { stdout } = spawnSync("tshark", ["-r", record(), "-Y", "uds"], { encoding: "utf8" });
    expect(stdout).toContain("Request   Read Data By Identifier");
    expect(stdout).toContain("Reply     Read Data By Identifier");
  });
});

test("a car that nobody knows is said so", async () => {
  const arguments_ = [latticeway, "tunnel", "--vin", "NOBODY", "--listen", "127.0.0.1:0"];
  const ended = run(process.execPath, arguments_, { env: commandEnvironment(gateway) });
  await expect(ended).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("(VEHICLE_UNKNOWN)"),
  });
});

test("a port that is taken is said so, and leaves no recording in the way of another start", async () => {
  const folder = testFolder();
  const record = join(folder, "session.pcapng");
  await testVehicle(gateway, { vin: VIN, stateDir: folder });
  const holder = createServer();
  await once(holder.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void holder.close());
  const place = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
  const arguments_ = [latticeway, "tunnel", "--vin", VIN, "--listen", place, "--record", record];
  const ended = run(process.execPath, arguments_, { env: commandEnvironment(gateway) });
  await expect(ended).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error: 127.0.0.1:\d+ is taken, .*--listen.*TUNNEL_PORT_TAKEN/),
  });
  expect(existsSync(record)).toBe(false);
});
