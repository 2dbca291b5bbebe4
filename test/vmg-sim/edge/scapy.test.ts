import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "#protocol/doip/clock.ts";
import { PYTHON, requirePeer, SCAPY_TESTER } from "#test/helpers/optional.ts";
import { EDGE, edgeRig, FRONT, REAR_TOO, type EdgeRig } from "./edge-rig.ts";

const program = fileURLToPath(new URL("scapy-tester.py", import.meta.url));
const run = promisify(execFile);

let rig: EdgeRig;

beforeEach(async () => {
  rig = await edgeRig(systemClock);
});

afterEach(() => rig.dispose());

test("Scapy's DoIP tester finds the vehicle and diagnoses an ECU of it", async (context) => {
  requirePeer(context, "scapy");
  const requests = ["22f190", "1003", "1902ff", "3e00", "220000"];
  expect(await byScapy(FRONT, requests)).toMatchObject({
    vin: "LATTICE0000000001",
    logical_address: EDGE,
    further_action: 0,
    node_type: 0,
    max_open_sockets: 4,
    max_data_size: 0xffff,
    power_mode: 1,
    answers: [
      { hex: `62f190${Buffer.from("LATTICE0000000001").toString("hex")}` },
      { hex: "5003003201f4", summary: "UDS / UDS_DSCPR" },
      { hex: "5902ff0562162cc1210028", summary: "UDS / UDS_RDTCIPR" },
      { hex: "7e00", summary: "UDS / UDS_TPPR" },
      { hex: "7f2231", summary: "UDS / UDS_NR" },
    ],
  });
});

test("Scapy understands memory, controls, dynamic and periodic DIDs", async (context) => {
  requirePeer(context, "scapy");
  const requests = [
    ...["1003", "2312100004", "2f03020328", "280301"],
    ...["2c01f21003040101", "22f210", "2a0310", "3e00", "2a04"],
  ];
  expect(await byScapy(REAR_TOO, requests)).toMatchObject({
    answers: [
      { hex: "5003003201f4", summary: "UDS / UDS_DSCPR" },
      { hex: "6300010203", summary: "UDS / UDS_RMBAPR" },
      { hex: "6f03020328", summary: "UDS / UDS_IOCBIPR" },
      { hex: "6803", summary: "UDS / UDS_CCPR" },
      { hex: "6c01f210", summary: "UDS / UDS_DDDIPR" },
      { hex: "62f21001", summary: "UDS / UDS_RDBIPR / Raw" },
      { hex: "6a", summary: "UDS" },
      { hex: "7e00", summary: "UDS / UDS_TPPR" },
      { hex: "6a", summary: "UDS" },
    ],
  });
});

/** What Scapy's tester makes of the vehicle, and of an ECU's answers to requests in hex. */
async function byScapy(target: number, requests: string[]): Promise<unknown> {
  const { port, udpPort } = rig.edge;
  const addresses = [port, udpPort, 0x0e00, target].map(String);
  const { stdout } = await run(PYTHON, [program, ...addresses, ...requests], SCAPY_TESTER);
  return JSON.parse(stdout.slice(stdout.indexOf("{")));
}
