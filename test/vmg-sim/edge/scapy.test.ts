import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "#protocol/doip/clock.ts";
import { PYTHON, requirePeer } from "#test/helpers/optional.ts";
import { EDGE, edgeRig, FRONT, type EdgeRig } from "./edge-rig.ts";

const program = fileURLToPath(new URL("scapy-tester.py", import.meta.url));
const run = promisify(execFile);

let rig: EdgeRig;

beforeEach(async () => {
  rig = await edgeRig(systemClock);
});

afterEach(() => rig.dispose());

test("Scapy's DoIP tester finds the vehicle and diagnoses an ECU of it", async (context) => {
  requirePeer(context, "scapy");
  const { port, udpPort } = rig.edge;
  const requests = ["22f190", "1003", "1902ff", "3e00", "220000"];
  const { stdout } = await run(PYTHON, [
    program,
    ...[port, udpPort, 0x0e00, FRONT].map(String),
    ...requests,
  ]);
  expect(JSON.parse(stdout.slice(stdout.indexOf("{")))).toMatchObject({
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
