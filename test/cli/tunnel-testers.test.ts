import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { demoSecrets } from "#protocol/uds/security-key.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { PYTHON, requirePeer, SCAPY_TESTER } from "#test/helpers/optional.ts";
import { examine, type Examined } from "#test/protocol/doip/conformance.ts";
import { captured, conversation, dissect } from "#test/protocol/doip/dissection.ts";
import { testVehicle, type TestVehicle } from "#test/vmg-sim/vmg/test-vehicle.ts";
import { startTunnel, type RunningTunnel } from "./running-tunnel.ts";

const VIN = "LATTICE0000000003";
const ECUS = ["1001", "1002", "2001", "2002"];
const EVERYBODY = 0xe000;
/** Alive checks, and a refusal. */
const UNUSED_BY_SCAPY = ["0x0007", "0x0008", "0x8003"];

const scapyDiagnosis = fileURLToPath(new URL("scapy-diagnosis.py", import.meta.url));
const run = promisify(execFile);

let gateway: TestGateway;
let vehicle: TestVehicle;
let tunnel: RunningTunnel;
let record: string;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

beforeEach(async () => {
  const folder = testFolder();
  record = join(folder, "session.pcapng");
  vehicle = await testVehicle(gateway, { vin: VIN, stateDir: folder });
  await vehicle.agent.started;
  tunnel = await startTunnel(gateway, VIN, "--record", record);
});
afterEach(() => tunnel.kill());

test("Scapy's tester diagnoses a car through the tunnel", async (context) => {
  requirePeer(context, "scapy");
  const vin = `62f190${Buffer.from(VIN).toString("hex")}`;
  const { understood, ...heard } = await byScapy();
  expect(heard).toEqual({
    found: { vin: VIN, logical_address: 1, again: [true, true], node_type: 0, power_mode: 1 },
    activation: 0x10,
    seed: 16,
    answers: {
      vin,
      several: `${vin}f18601f195${Buffer.from("1.0.0").toString("hex")}`,
      dtcs: "5902ff0562162cc1210028403511504040115040207150",
      unknown: "7f2231",
      extended: "5003003201f4",
      locked: "7f2e33",
      key: "6704",
      written: "6e0204",
      read: "6202041f",
      routine: "710103020000",
      present: "7e00",
      default: "5001003201f4",
    },
    after_suppressed: ["5001003201f4"],
    group: Object.fromEntries(ECUS.map((ecu) => [ecu, vin])),
    acknowledgements: 15,
    acknowledged_by: ["1001", "e000"],
  });
  expect(understood).toMatchObject({
    dtcs: "UDS / UDS_RDTCIPR",
    extended: "UDS / UDS_DSCPR",
    unknown: "UDS / UDS_NR",
    key: "UDS / UDS_SAPR",
    written: "UDS / UDS_WDBIPR",
    routine: "UDS / UDS_RCPR / Raw",
    present: "UDS / UDS_TPPR",
  });
});

test("Wireshark understands Scapy's visit, on the wire and as the tunnel records it", async (context) => {
  requirePeer(context, "scapy");
  requirePeer(context, "capture");
  const wire = join(testFolder(), "loopback.pcapng");
  await captured(wire, tunnel, byScapy);
  await tunnel.stop();
  const services = ["0x10", "0x19", "0x22", "0x27", "0x2e", "0x31", "0x3e", "0x3f"];
  expect(dissect(record)).toEqual({ problems: [], types: ["0x8001"], services });
  const types = conversation.types.filter((type) => !UNUSED_BY_SCAPY.includes(type));
  expect(dissect(wire, tunnel)).toEqual({ problems: [], types, services });
});

test("the tunnel speaks by ISO 13400-2, and Wireshark understands it", async (context) => {
  requirePeer(context, "python3");
  requirePeer(context, "tshark");
  const capture = join(testFolder(), "conversation.pcap");
  expect(await examine("conversation", examined(), { capture })).toBe("no deviation");
  expect(dissect(capture)).toEqual(conversation);
});

test("the tunnel refuses by ISO 13400-2", async (context) => {
  requirePeer(context, "python3");
  expect(await examine("refusals", examined(), { version: 3 })).toBe("no deviation");
});

/** What Scapy's tester has heard on a visit, and how it understands it. */
async function byScapy(): Promise<Record<string, unknown>> {
  const addresses = [tunnel.tcp, tunnel.udp, 0x0e00, 0x1001, EVERYBODY].map(String);
  const given = [...addresses, String(ECUS.length), demoSecrets[3] ?? ""];
  const { stdout } = await run(PYTHON, [scapyDiagnosis, ...given], SCAPY_TESTER);
  return JSON.parse(stdout.slice(stdout.indexOf("{")));
}

function examined(): Examined {
  const ecus = vehicle.hardware.zones.flatMap((zone) => zone.ecus);
  ecus.find(({ ecu_id }) => ecu_id === "ECU_003")?.setBehaviour({ slowMs: 200 });
  const members = ECUS.map((ecu) => Number.parseInt(ecu, 16));
  return { ...tunnel, vin: VIN, ecus: [0x1001, 0x2001], group: EVERYBODY, members };
}
