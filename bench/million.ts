import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, start } from "./child.ts";
import { comparison, type BenchContext, type Figure, type Row } from "./figure.ts";
import { openFleet, type Fleet } from "./fleet.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { ECUS, ecusOf, fillParticipants, fillVehicles } from "./million-vehicles.ts";
import { startPostgresql } from "./postgresql.ts";
import { residentBytes } from "./proc.ts";
import { alternate, sampleOf } from "./sample.ts";
import { until } from "./until.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

const LEAST_RATIO = 0.5;
const MIB = 1024 * 1024;

/**
 * A fleet of a million vehicles on PostgreSQL: what a campaign for all of them costs before, when and
 * after it starts.
 */
export async function measureMillion({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const [few, many] = quick ? [1000, 20_000] : [10_000, 1_000_000];
  await using postgresql = await startPostgresql();
  await using gateway = await startGateway(workspace, {
    name: "gateway-million",
    databaseUrl: postgresql.url,
    anyCore: true,
    env: { LATTICEWAY_CAMPAIGNS_APPROVAL: "false" },
  });
  const fleet = openFleet(gateway, workspace);
  const seconds = quick ? 2 : 5;
  const rounds = quick ? 2 : 5;

  await fillVehicles(postgresql.url, { from: 1, to: few });
  await enrol(fleet, workspace);
  const campaign = await makeCampaign(fleet);
  await fleet.operator("POST", `${campaign}/submit`, {});
  await fleet.operator("POST", `${campaign}/start`, {});
  await offered(fleet, workspace);
  const eventsOfFew = await statusEvents(fleet, workspace, { rounds, seconds });
  say(`  status events, ${few} vehicles: ${sampleOf(eventsOfFew).median.toFixed(2)} ms`);

  const filling = await timed(() => fillVehicles(postgresql.url, { from: few + 1, to: many }));
  await fillParticipants(postgresql.url, campaign.split("/").at(-1) ?? "");
  say(`  ${many} vehicles made in ${(filling / 1000).toFixed(0)} s`);
  const eventsOfMany = await statusEvents(fleet, workspace, { rounds, seconds });
  say(`  status events, ${many} vehicles: ${sampleOf(eventsOfMany).median.toFixed(2)} ms`);

  const second = await makeCampaign(fleet, "2.1.0");
  const dryRuns = await repeated(rounds, () =>
    timed(() => fleet.operator("POST", `${second}/dry-run`, {})),
  );
  say(`  dry run: ${sampleOf(dryRuns).median.toFixed(0)} ms`);
  await fleet.operator("POST", `${second}/submit`, {});
  const starting = await timed(() => fleet.operator("POST", `${second}/start`, {}));
  const lists = await pages(fleet, many, rounds);
  const explaining = await repeated(rounds * 4, () =>
    timed(() =>
      fleet.operator("GET", `/vehicles/${vinOf(many / 2)}/explain?ecu_type=bench-1&version=2.1.0`),
    ),
  );
  const runs = await checkIns(workspace, gateway, postgresql.url, { rounds, seconds, say });
  const memory = residentBytes(gateway.pid).now / MIB;
  await fleet.close();
  const stated = (what: string, unit: string, values: readonly number[]): Row => ({
    what,
    unit,
    ours: sampleOf(values),
  });
  return {
    title: "A million vehicles",
    notes: [
      `${many} vehicles with ${ECUS} ECUs each in 400 configurations, registered and with their VCI, on PostgreSQL (its defaults); ${workspace.vehicles.length} of them talk.`,
      `Check-ins: \`POST /ota/check\` while a campaign for all vehicles runs, each planned and answered with what the vehicle may install, on ${workspace.vehicles.length} open connections (TLS 1.3, client certificate), in a closed loop. Beside it Fastify with the same TLS, no logging, and one route that reads one row by its primary key and returns it, in turns. Client, PostgreSQL and server share the machine's cores. At hawkBit's default poll interval of five minutes a million devices ask 3,333 times a second.`,
      "Status events: `POST /ota/status`, `downloading` and `deferred` in turns, so that each one moves an update of the campaign, its counters, the vehicle and the history, and emits an event; milliseconds for each from vehicles that take turns.",
      "Starting: the call that starts a campaign for all vehicles; no rows are made for them. Lists: 100 vehicles a page, at the beginning and from the middle of the table on; with a filter that one in ten matches.",
    ],
    rows: [
      comparison(
        "check-ins",
        "/s",
        runs.ours,
        { name: "Fastify, one read", runs: runs.bare },
        LEAST_RATIO,
      ),
      stated("dry run for all", "ms", dryRuns),
      stated("starting", "ms", [starting]),
      stated(`status event, ${few} vehicles`, "ms", eventsOfFew),
      stated(`status event, ${many} vehicles`, "ms", eventsOfMany),
      ...lists.map(({ what, values }) => stated(what, "ms", values)),
      stated("explain", "ms", explaining),
      stated("memory of the gateway", "MiB", [memory]),
    ],
  };
}

function vinOf(number: number): string {
  return `M${String(Math.floor(number)).padStart(16, "0")}`;
}

/** The vehicles that talk: they register and say what they consist of. */
async function enrol(fleet: Fleet, { vehicles }: Workspace): Promise<void> {
  const ecus = ecusOf(0);
  const zones = [...new Set(ecus.map(({ zone_id }) => zone_id))].map((zone_id) => ({ zone_id }));
  for (const vehicle of vehicles) {
    await fleet.register(vehicle);
    await fleet.submitVci(vehicle, { zones, ecus: [...ecus] });
  }
}

/** A campaign of three releases for every vehicle, as a draft. @returns its path */
async function makeCampaign(fleet: Fleet, version = "2.0.0"): Promise<string> {
  const releases: string[] = [];
  for (const ecuType of ["bench-1", "bench-2", "bench-3"]) {
    const fields = { availability: "campaign" };
    releases.push(await fleet.publish({ ecuType, version, bytes: 100_000, fields }));
  }
  const { campaign_id } = await fleet.operator<{ campaign_id: string }>("POST", "/campaigns", {
    name: `All vehicles, ${version}`,
    releases,
    filter: "all",
    stop_rule: { max_failure_rate: 0.05, min_sample: 50 },
  });
  return `/campaigns/${campaign_id}`;
}

async function offered(fleet: Fleet, { vehicles: [vehicle] }: Workspace): Promise<void> {
  if (vehicle === undefined) throw new Error("the workspace has no vehicles");
  await until("the campaign's offer", async () => {
    const { campaign_id } = await fleet.check(vehicle);
    return campaign_id;
  });
}

/** @returns milliseconds for each event, one value a round */
async function statusEvents(
  fleet: Fleet,
  { vehicles }: Workspace,
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<number[]> {
  const updates = new Map<Vehicle, string>();
  for (const vehicle of vehicles) {
    updates.set(vehicle, (await fleet.requestPackage(vehicle)).update_id);
  }
  return repeated(rounds, async () => {
    const end = performance.now() + seconds * 1000;
    const began = performance.now();
    let count = 0;
    while (performance.now() < end) {
      for (const status of ["downloading", "deferred"] as const) {
        for (const [vehicle, update_id] of updates) {
          const ts = new Date().toISOString();
          await fleet.reportStatus(vehicle, { update_id, status, progress: 1, ts });
          count++;
        }
      }
    }
    return (performance.now() - began) / count;
  });
}

async function pages(fleet: Fleet, many: number, rounds: number) {
  const from = `cursor=${vinOf(many / 2)}`;
  const filter = `filter=${encodeURIComponent('model == "Model 3" and region in ("EU", "US")')}`;
  const lists = {
    "vehicles, first page": "/vehicles?limit=100",
    "vehicles, from the middle": `/vehicles?limit=100&${from}`,
    "vehicles by filter, from the middle": `/vehicles?limit=100&${from}&${filter}`,
  };
  const measured: { what: string; values: number[] }[] = [];
  for (const [what, path] of Object.entries(lists)) {
    const values = await repeated(rounds * 4, () => timed(() => fleet.operator("GET", path)));
    measured.push({ what, values });
  }
  return measured;
}

/** Check-ins a second, ours and the bare route's, in turns. */
async function checkIns(
  workspace: Workspace,
  gateway: Gateway,
  databaseUrl: string,
  { rounds, seconds, say }: { rounds: number; seconds: number; say: (line: string) => void },
) {
  const route = fileURLToPath(new URL("./bare-route.ts", import.meta.url));
  const client = fileURLToPath(new URL("./check-in-client.ts", import.meta.url));
  const { key, certificate } = workspace.server;
  const bare = start([
    process.execPath,
    route,
    `--url=${databaseUrl}`,
    `--key=${key}`,
    `--certificate=${certificate}`,
    `--ca=${workspace.vehicleRoot}`,
  ]);
  const barePort = await until("the bare route", () => {
    if (bare.hasEnded()) throw new Error(bare.output());
    return /^\d+$/m.exec(bare.output())?.[0];
  });
  const ask = (name: string, port: string, path: string, shows: string) => async () => {
    const { output } = await run([
      process.execPath,
      client,
      `--port=${port}`,
      `--ca=${workspace.serverRoot}`,
      `--certificates=${join(workspace.certs, "vehicles")}`,
      `--path=${path}`,
      `--shows=${shows}`,
      `--seconds=${seconds}`,
      ...workspace.vehicles.map(({ vin }) => vin),
    ]);
    const { rate, p50_ms, p99_ms } = JSON.parse(output) as Record<
      "rate" | "p50_ms" | "p99_ms",
      number
    >;
    say(
      `  ${name}: ${rate.toFixed(0)}/s, p50 ${p50_ms.toFixed(1)} ms, p99 ${p99_ms.toFixed(1)} ms`,
    );
    return rate;
  };
  const sides = {
    ours: ask("check-ins", String(gateway.port), "/api/v1/ota/check", "campaign_id"),
    bare: ask("Fastify, one read", barePort, "/check", "registered_at"),
  };
  const runs = await alternate(rounds, sides);
  await bare.stop();
  return runs;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function repeated(times: number, measure: () => Promise<number>): Promise<number[]> {
  const values: number[] = [];
  for (let i = 0; i < times; i++) values.push(await measure());
  return values;
}
