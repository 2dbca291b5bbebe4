import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { issueVehicleCertificate } from "#crypto/pki.ts";
import type { DiagnosticResult, DiagnosticSend } from "#protocol/api/diagnostics.ts";
import { run } from "./child.ts";
import type { BenchContext, Figure, Row } from "./figure.ts";
import { openFleet, vciOf, type Fleet } from "./fleet.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { startPostgresql } from "./postgresql.ts";
import type { Answered } from "./queued-cars.ts";
import { sampleOf } from "./sample.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

/** Requests under way to the gateway at once while they are made. */
const AT_ONCE = 16;
const TTL_S = 600;
/** Largest page of results. */
const PAGE = 500;

interface Load {
  vehicles: readonly Vehicle[];
  each: number;
}

/**
 * Seconds in which many vehicles that were offline get the diagnostic requests that wait for them,
 * and all results are stored. @throws PeerMissing, Error when a request is lost or carried out twice
 */
export async function measureQueued({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const load = { vehicles: await newVehicles(workspace, quick ? 10 : 100), each: quick ? 20 : 100 };
  await using postgresql = await startPostgresql();
  const rows: Row[] = [];
  for (const [database, databaseUrl] of [
    ["embedded database", undefined],
    ["PostgreSQL", postgresql.url],
  ] as const) {
    const { queued, seconds } = await measureOn(workspace, load, databaseUrl);
    const count = load.vehicles.length * load.each;
    say(`  ${database}: queued ${queued.toFixed(0)}/s; all results in ${seconds.toFixed(1)} s`);
    const row = (what: string, unit: string, value: number) =>
      rows.push({ what: `${what}, ${database}`, unit, ours: sampleOf([value]) });
    row("requests taken while offline", "/s", queued);
    row("all results stored", "s", seconds);
    row("results", "/s", count / seconds);
  }
  const { vehicles, each } = load;
  return {
    title: "Diagnostic requests that wait for their vehicle",
    notes: [
      `${vehicles.length} vehicles that are offline, ${each} requests for each, made one by one by \`POST /diagnostics/send\` (${AT_ONCE} at once): half of them read (22 F190), half of them write (2E, \`ttl_s\` ${TTL_S}). Then all vehicles connect at once, from one process that does nothing else and answers each request as soon as it comes. The time is that from the first connection to the acknowledgement of the last answer, which the gateway gives when the result is stored. Afterwards it is checked that every request is \`completed\` and that no vehicle got one twice.`,
      "One run for each database. Gateway, vehicles and PostgreSQL share the machine's cores as the kernel likes.",
    ],
    rows,
  };
}

async function newVehicles({ certs }: Workspace, count: number): Promise<readonly Vehicle[]> {
  const vehicles: Vehicle[] = [];
  for (let i = 1; i <= count; i++) {
    const vin = `QUEUED-${String(i).padStart(3, "0")}`;
    vehicles.push({ vin, ...(await issueVehicleCertificate(certs, { vehicleId: vin })) });
  }
  return vehicles;
}

/** @returns requests queued a second, and seconds until all results were stored */
async function measureOn(
  workspace: Workspace,
  load: Load,
  databaseUrl: string | undefined,
): Promise<{ queued: number; seconds: number }> {
  await using gateway = await startGateway(workspace, {
    name: `gateway-queued-${databaseUrl === undefined ? "embedded" : "postgresql"}`,
    anyCore: true,
    ...(databaseUrl !== undefined && { databaseUrl }),
  });
  const fleet = openFleet(gateway, workspace);
  for (const vehicle of load.vehicles) {
    await fleet.register(vehicle);
    await fleet.submitVci(vehicle, vciOf("ZG-FRONT", ["bench"]));
  }
  const began = performance.now();
  const made = await makeRequests(fleet, load);
  const queued = made.length / ((performance.now() - began) / 1000);
  const answered = await comeBack(workspace, gateway, load, made.length);
  await refuseOthers(fleet, load, made, answered);
  await fleet.close();
  return { queued, seconds: answered.seconds };
}

/** @returns the requests' ids */
async function makeRequests(fleet: Fleet, { vehicles, each }: Load): Promise<string[]> {
  const ids: string[] = [];
  const asks = vehicles
    .flatMap(({ vin }) => Array.from({ length: each }, (_, index) => askOf(vin, index)))
    .values();
  const maker = async () => {
    for (const ask of asks) {
      const path = "/diagnostics/send";
      const { request_id, status } = await fleet.operator<DiagnosticResult>("POST", path, ask);
      if (status !== "queued") throw new Error(`a request to an absent vehicle is ${status}`);
      ids.push(request_id);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, maker));
  return ids;
}

function askOf(vin: string, index: number): DiagnosticSend {
  const ask = { vin, ecu_id: "ECU-bench" };
  if (index % 2 === 0) return { ...ask, service_id: "0x22", data: "F190" };
  const value = index.toString(16).padStart(4, "0");
  return { ...ask, service_id: "0x2E", data: `F198${value}`, ttl_s: TTL_S };
}

async function comeBack(
  workspace: Workspace,
  gateway: Gateway,
  { vehicles }: Load,
  expected: number,
): Promise<Answered> {
  const program = fileURLToPath(new URL("./queued-cars.ts", import.meta.url));
  const { output } = await run([
    process.execPath,
    program,
    `--port=${gateway.mqttPort}`,
    `--ca=${workspace.serverRoot}`,
    `--certificates=${join(workspace.certs, "vehicles")}`,
    `--expected=${expected}`,
    ...vehicles.map(({ vin }) => vin),
  ]);
  return JSON.parse(output) as Answered;
}

/** @throws Error for a request that was lost, did not complete or came to its vehicle twice */
async function refuseOthers(
  fleet: Fleet,
  { vehicles, each }: Load,
  made: readonly string[],
  { requests }: Answered,
): Promise<void> {
  const seen = new Set(requests);
  const lost = made.filter((id) => !seen.has(id)).length;
  const twice = requests.length - seen.size;
  const ends = new Map<string, number>();
  for (const { vin } of vehicles) {
    for (const { status } of await resultsOf(fleet, vin)) {
      ends.set(status, (ends.get(status) ?? 0) + 1);
    }
  }
  const completed = ends.get("completed") ?? 0;
  const expected = vehicles.length * each;
  if (made.length === expected && lost === 0 && twice === 0 && completed === expected) return;
  const states = [...ends].map(([status, count]) => `${count} ${status}`).join(", ");
  throw new Error(`of ${expected}: ${lost} never came, ${twice} came twice; ${states}`);
}

async function resultsOf(fleet: Fleet, vin: string): Promise<DiagnosticResult[]> {
  const results: DiagnosticResult[] = [];
  for (let cursor = "" as string | null; cursor !== null;) {
    const path = `/diagnostics/results?vin=${vin}&limit=${PAGE}${cursor && `&cursor=${cursor}`}`;
    const page = await fleet.operator<{ items: DiagnosticResult[]; next_cursor: string | null }>(
      "GET",
      path,
    );
    results.push(...page.items);
    cursor = page.next_cursor;
  }
  return results;
}
