import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadVehicleConfig } from "#config/vehicle.ts";
import type { DiagnosticResult } from "#protocol/api/diagnostics.ts";
import { createUdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { start } from "./child.ts";
import type { BenchContext, Figure, Row } from "./figure.ts";
import { openFleet, type Fleet } from "./fleet.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { quantile, sampleOf } from "./sample.ts";
import { until } from "./until.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

/** ReadDataByIdentifier of the VIN. */
const SERVICE = 0x22;
const VIN_DID = [0xf1, 0x90];
const WAIT_MS = 10_000;
/** The VMG has the usual address of an external tester already. */
const TESTER_ADDRESS = 0x0e81;

/** One ask and its answer, in milliseconds. */
type Ask = () => Promise<number>;

/**
 * Milliseconds from an operator's request to its readable result, beside the same UDS request sent
 * to the simulated vehicle by DoIP.
 */
export async function measureDiagnostics({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const [vehicle] = workspace.vehicles;
  if (vehicle === undefined) throw new Error("the workspace has no vehicles");
  await using gateway = await startGateway(workspace, {
    name: "gateway-diagnostics",
    anyCore: true,
  });
  await using simulated = await startSimulated(workspace, gateway, vehicle);
  const fleet = openFleet(gateway, workspace);
  const link = createUdsLink({
    host: "127.0.0.1",
    port: simulated.port,
    testerAddress: TESTER_ADDRESS,
  });
  const throughGateway = () => askGateway(fleet, vehicle.vin, simulated.ecuId);
  const direct = async () => {
    const began = performance.now();
    const answer = await link.request(simulated.address, Uint8Array.from([SERVICE, ...VIN_DID]));
    if (answer[0] !== SERVICE + 0x40) throw new Error("the ECU refused");
    return performance.now() - began;
  };
  await until("the vehicle's subscription", () => throughGateway().catch(() => undefined));

  const rounds = quick ? 2 : 7;
  const times = { gateway: newTimes(), direct: newTimes() };
  for (let round = -1; round < rounds; round++) {
    for (const [name, ask] of [
      ["gateway", throughGateway],
      ["direct", direct],
    ] as const) {
      const { p50, p99 } = await askOften(ask, quick ? 30 : 150);
      say(`  ${name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`);
      // The first round finds cold code.
      if (round < 0) continue;
      times[name].p50.push(p50);
      times[name].p99.push(p99);
    }
  }
  link.close();
  await fleet.close();
  return {
    title: "Diagnostic round trip",
    notes: [
      "UDS 22 F190 to one ECU of the simulated vehicle, one after the other. Through the gateway: `POST /diagnostics/send`, then `GET /diagnostics/results/{id}?wait_ms=…` on the same HTTPS connection until the result is read; between them the request is stored (embedded database), sent by MQTT to the VMG, by DoIP to the ECU and back, stored and decoded. Direct: one request on an open DoIP connection to the same ECU.",
    ],
    rows: [
      stated("p50", times.gateway.p50, times.direct.p50),
      stated("p99", times.gateway.p99, times.direct.p99),
    ],
  };
}

function stated(what: string, ours: readonly number[], direct: readonly number[]): Row {
  return {
    what: `UDS answer, ${what}`,
    unit: "ms",
    ours: sampleOf(ours),
    peer: { name: "DoIP directly", sample: sampleOf(direct) },
  };
}

function newTimes(): { p50: number[]; p99: number[] } {
  return { p50: [], p99: [] };
}

async function askOften(ask: Ask, count: number): Promise<{ p50: number; p99: number }> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) times.push(await ask());
  const sorted = times.toSorted((a, b) => a - b);
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}

async function askGateway(fleet: Fleet, vin: string, ecuId: string): Promise<number> {
  const began = performance.now();
  const { request_id } = await fleet.operator<{ request_id: string }>("POST", "/diagnostics/send", {
    vin,
    ecu_id: ecuId,
    service_id: "0x22",
    data: "F190",
  });
  const path = `/diagnostics/results/${request_id}?wait_ms=${WAIT_MS}`;
  const { status } = await fleet.operator<DiagnosticResult>("GET", path);
  if (status !== "completed") throw new Error(`the request ended as ${status}`);
  return performance.now() - began;
}

/** A simulated vehicle in a process of its own, and where one of its ECUs is to be reached. */
async function startSimulated(workspace: Workspace, gateway: Gateway, vehicle: Vehicle) {
  const [zone] = loadVehicleConfig({}).zones;
  const [ecu] = zone?.ecus ?? [];
  if (zone === undefined || ecu === undefined) throw new Error("config/vehicle.yaml has no ECU");
  const child = start(
    [
      process.execPath,
      "vmg-sim/main.ts",
      `--vin=${vehicle.vin}`,
      `--gateway=https://127.0.0.1:${gateway.port}`,
      `--mqtt=mqtts://127.0.0.1:${gateway.mqttPort}`,
      `--certs=${workspace.certs}`,
      `--state=${join(workspace.place("vehicle"), "state")}`,
      "--manual",
    ],
    { cwd: fileURLToPath(new URL("..", import.meta.url)), env: { PATH: process.env["PATH"] } },
  );
  const listening = new RegExp(`${zone.zone_id} on [^ ]*:(\\d+)`);
  const port = await until("the simulated vehicle", () => {
    if (child.hasEnded()) throw new Error(`the vehicle did not start:\n${child.output()}`);
    return listening.exec(child.output())?.[1];
  });
  return {
    port: Number(port),
    ecuId: ecu.ecu_id,
    address: ecu.logical_address,
    [Symbol.asyncDispose]: () => child.stop(),
  };
}
