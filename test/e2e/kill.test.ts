import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import mqtt, { type IClientOptions } from "mqtt";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { createEventLog } from "#demo/event-log.ts";
import { startGatewayProcess, type GatewayProcess } from "#demo/gateway-process.ts";
import { connectOperator, type Operator } from "#demo/operator.ts";
import type { TelemetrySample } from "#protocol/api/telemetry.ts";
import type { Update } from "#protocol/api/update.ts";
import { topicOf } from "#protocol/mqtt/topic.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { testDatabase } from "#test/helpers/test-database.ts";
import { provisionVehicle } from "#vmg-sim/provision.ts";
import { startVehicle, type SimulatedVehicle } from "#vmg-sim/vehicle.ts";

const vin = "VMG-001";
const witness = "VMG-777";

describe("kill -9 of the gateway", () => {
  const { path: folder, remove } = temporaryFolder();
  const certsDir = join(folder, "certs");
  const events = createEventLog();
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let gateway: GatewayProcess;
  let operator: Operator;
  let vehicle: SimulatedVehicle | undefined;

  beforeAll(async () => {
    database = await testDatabase(join(folder, "gateway"));
    gateway = await start({ https: 0, mqtt: 0 });
    operator = await login();
    const image = join(folder, "image.bin");
    await writeFile(image, randomBytes(24 * 1024 * 1024));
    await operator.upload(image, {
      ecu_type: "brake-controller",
      version: "1.2.3",
      hardware_versions: "HW-1.0",
      channel: "stable",
    });
  });
  afterAll(async () => {
    await vehicle?.stop();
    await operator.close();
    await gateway.stop();
    await database.drop();
    remove();
  });

  const start = (ports: GatewayProcess["ports"]) =>
    startGatewayProcess({ folder, certsDir, ports, databaseUrl: database.url });
  const login = () =>
    connectOperator(
      gateway.https_url,
      readFileSync(join(folder, "gateway", "operator.token"), "utf8").trim(),
      certsDir,
    );

  async function killAndRestart(): Promise<void> {
    await gateway.kill();
    gateway = await start(gateway.ports);
  }

  it("loses no telemetry that it acknowledged", async () => {
    const { tls } = await provisionVehicle(certsDir, witness, 2);
    const client = await mqtt.connectAsync({
      host: "localhost",
      port: gateway.ports.mqtt,
      protocol: "mqtts",
      protocolVersion: 4,
      clientId: witness,
      reconnectPeriod: 0,
      ...(tls as IClientOptions),
    });
    const acknowledged: number[] = [];
    let killed: Promise<void> | undefined;
    for (let sequence = 0; sequence < 5000; sequence++) {
      const sample = JSON.stringify({ ts: new Date().toISOString(), sequence });
      client.publish(topicOf(witness, "telemetry"), sample, { qos: 1 }, (error) => {
        if (error) return;
        acknowledged.push(sequence);
        // In the middle of the burst, with messages under way in both directions.
        if (acknowledged.length === 1000) killed = killAndRestart();
      });
    }
    await new Promise<void>((closed) => client.once("close", () => closed()));
    await client.endAsync(true);
    await killed;
    expect(acknowledged.length).toBeGreaterThanOrEqual(1000);

    await registerWitness(tls as IClientOptions);
    const stored = await storedSequences();
    expect(acknowledged.filter((sequence) => !stored.has(sequence))).toEqual([]);
  });

  it("carries an update on from where it was: in the download, and in the installation", async () => {
    const config = loadVehicleConfig({});
    const provisioning = await provisionVehicle(certsDir, vin, config.tls.profile);
    const killedIn: string[] = [];
    let killing: Promise<void> = Promise.resolve();
    const killIn = (step: string) => {
      if (killedIn.includes(step)) return;
      killedIn.push(step);
      killing = killing.then(killAndRestart);
    };
    events.listen((event) => {
      if (event.type === "download_progress" && event.bytes > 4 * 1024 * 1024) killIn("download");
      if (event.type === "ecu_progress" && event.step === "flashing") killIn("installation");
    });
    vehicle = await startVehicle({
      config: {
        ...config,
        state_dir: join(folder, "vehicles"),
        certs_dir: certsDir,
        gateway: {
          ...config.gateway,
          https_url: gateway.https_url,
          mqtt_url: gateway.mqtt_url,
          retries: 50,
          backoff_ms: 50,
          max_backoff_ms: 250,
        },
        download: { retries: 100, backoff_ms: 50, max_backoff_ms: 250 },
        auto_update: true,
      },
      provisioning,
      log: pino({ level: "silent" }),
      onEvent: events.record,
    });
    const finished = await events.next("update_finished");
    await events.next("vci_answered", ({ vci }) => vci.reason === "after_update");
    await killing;
    expect(killedIn).toEqual(["download", "installation"]);
    expect(finished.outcome).toBe("completed");

    await expect
      .poll(async () => (await operator.get<Update>(`/updates/${finished.update_id}`)).status, {
        timeout: 30_000,
      })
      .toBe("success");
  });

  it("delivers a command that it accepted before it was killed", async () => {
    await vehicle?.stop();
    const { command_id } = await operator.post<{ command_id: string }>(
      `/vehicles/${vin}/commands`,
      {
        command: "ota_status",
      },
    );
    await killAndRestart();
    const config = loadVehicleConfig({});
    vehicle = await startVehicle({
      config: {
        ...config,
        state_dir: join(folder, "vehicles"),
        certs_dir: certsDir,
        gateway: { ...config.gateway, https_url: gateway.https_url, mqtt_url: gateway.mqtt_url },
        auto_update: false,
      },
      provisioning: await provisionVehicle(certsDir, vin, config.tls.profile),
      log: pino({ level: "silent" }),
      onEvent: events.record,
    });
    const handled = await events.next(
      "command_handled",
      ({ command }) => command.command_id === command_id,
    );
    expect(handled.response.status).toBe("completed");
    await expect
      .poll(
        async () => (await operator.get<{ status: string }>(`/commands/${command_id}`)).status,
        { timeout: 30_000 },
      )
      .toBe("completed");
  });

  /** Telemetry is listed for vehicles that are registered. */
  async function registerWitness(tls: IClientOptions): Promise<void> {
    const { createGatewayClient } = await import("#vmg-sim/vmg/gateway-client.ts");
    const { systemPace } = await import("#vmg-sim/vmg/pace.ts");
    const settings = { ...loadVehicleConfig({}).gateway, https_url: gateway.https_url };
    const client = createGatewayClient({
      settings,
      tls: tls as object,
      vin: witness,
      pace: systemPace,
    });
    await client.register({ vin: witness });
    await client.close();
  }

  async function storedSequences(): Promise<Set<number>> {
    interface Samples {
      items: TelemetrySample[];
      next_cursor: string | null;
    }
    const found = new Set<number>();
    let cursor: string | null = "";
    while (cursor !== null) {
      const query: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page: Samples = await operator.get<Samples>(
        `/vehicles/${witness}/telemetry?limit=500${query}`,
      );
      for (const { signals } of page.items) found.add(Number(signals["sequence"]));
      cursor = page.next_cursor;
    }
    return found;
  }
});
