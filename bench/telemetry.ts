import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./child.ts";
import { comparison, type BenchContext, type Figure } from "./figure.ts";
import { openFleet } from "./fleet.ts";
import { startGateway } from "./gateway.ts";
import { startMosquitto } from "./mosquitto.ts";
import { startPostgresql } from "./postgresql.ts";
import { cpuSeconds } from "./proc.ts";
import { alternate } from "./sample.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

/** Messages of a vehicle that wait for their PUBACK. */
const WINDOW = 250;
const PUBLISHERS = 2;
const LEAST_RATIO = 0.5;

/**
 * QoS 1 telemetry messages a second that are acknowledged after their commit, on PostgreSQL and on
 * the embedded database, beside mosquitto, which keeps nothing. @throws PeerMissing
 */
export async function measureTelemetry({ workspace, quick, say }: BenchContext): Promise<Figure> {
  await using mosquitto = await startMosquitto(workspace);
  await using postgresql = await startPostgresql();
  await using onPostgresql = await startGateway(workspace, {
    name: "gateway-postgresql",
    databaseUrl: postgresql.url,
    anyCore: true,
  });
  await using embedded = await startGateway(workspace, {
    name: "gateway-embedded",
    anyCore: true,
  });
  for (const gateway of [onPostgresql, embedded]) {
    const fleet = openFleet(gateway, workspace);
    await Promise.all(workspace.vehicles.map((vehicle) => fleet.register(vehicle)));
    await fleet.close();
  }
  const seconds = quick ? 2 : 6;
  const side = (name: string, port: number, pid: number) => async () => {
    const before = cpuSeconds(pid);
    const began = performance.now();
    const rate = await publish(workspace, port, seconds);
    const busy = (cpuSeconds(pid) - before) / ((performance.now() - began) / 1000);
    say(`  ${name}: ${rate.toFixed(0)} messages/s, its process ${(busy * 100).toFixed(0)}% busy`);
    return rate;
  };
  const runs = await alternate(quick ? 2 : 5, {
    postgresql: side("gateway on PostgreSQL", onPostgresql.mqttPort, onPostgresql.pid),
    mosquitto: side("mosquitto", mosquitto.port, mosquitto.pid),
    embedded: side("gateway, embedded", embedded.mqttPort, embedded.pid),
  });
  const peer = { name: "mosquitto", runs: runs.mosquitto };
  return {
    title: "QoS 1 telemetry, acknowledged after its commit",
    notes: [
      `${workspace.vehicles.length} vehicles, each with a window of ${WINDOW} unacknowledged messages of 140 bytes of JSON, from ${PUBLISHERS} processes that do nothing else, over TLS 1.3 (X25519MLKEM768, client certificate). mosquitto: \`persistence false\`, no subscriber, otherwise its defaults: it acknowledges and forgets. The gateway checks, looks for anomalies and stores; PostgreSQL with its defaults (\`fsync\` and \`synchronous_commit\` on). The embedded database never calls fsync.`,
      "Brokers, publishers and PostgreSQL share the machine's cores as the kernel likes: what a message costs the database and the publishers, the gateway doesn't have.",
    ],
    rows: [
      comparison("messages, PostgreSQL", "/s", runs.postgresql, peer, LEAST_RATIO),
      comparison("messages, embedded database", "/s", runs.embedded, peer),
    ],
  };
}

async function publish(workspace: Workspace, port: number, seconds: number): Promise<number> {
  const program = fileURLToPath(new URL("./telemetry-client.ts", import.meta.url));
  const share = Math.ceil(workspace.vehicles.length / PUBLISHERS);
  const publisher = async (vehicles: readonly Vehicle[]) => {
    const { output } = await run([
      process.execPath,
      program,
      `--port=${port}`,
      `--ca=${workspace.serverRoot}`,
      `--certificates=${join(workspace.certs, "vehicles")}`,
      `--window=${WINDOW}`,
      `--seconds=${seconds}`,
      ...vehicles.map(({ vin }) => vin),
    ]);
    return Number(output);
  };
  const rates = await Promise.all(
    Array.from({ length: PUBLISHERS }, (_, index) =>
      publisher(workspace.vehicles.slice(index * share, (index + 1) * share)),
    ),
  );
  return rates.reduce((sum, rate) => sum + rate, 0);
}
