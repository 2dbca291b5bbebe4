import { randomUUIDv7 } from "node:crypto";
import { join } from "node:path";
import mqtt, { type IClientOptions } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGatewayProcess, type GatewayProcess } from "#demo/gateway-process.ts";
import { issueVehicleCertificate, loadVehicleIdentity, serverCa } from "#crypto/pki.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import { topicOf, vehicleTopics, type VehicleTopic } from "#protocol/mqtt/topic.ts";
import { insertCommand } from "#server/commands/queries.ts";
import { openDatabase, type Database } from "#server/database/connection.ts";
import { insertRequest } from "#server/diagnostics/queries.ts";
import { insertUpdate } from "#server/updates/queries.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { newRequest } from "#test/helpers/diagnostic-request.ts";
import { sampleTarget, sampleVci } from "#test/helpers/fleet-data.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { testDatabase } from "#test/helpers/test-database.ts";
import { silentLog } from "#test/server/own-database.ts";

const vin = "VMG-001";
const update_id = randomUUIDv7();
const command_id = randomUUIDv7();
const request_id = randomUUIDv7();
const ts = "2026-05-04T10:00:00Z";

/** One message for every topic that goes up. */
const messages: Partial<Record<VehicleTopic, object>> = {
  telemetry: { ts, speed: 61 },
  heartbeat: { ts, state: "downloading" },
  "ota/status": { update_id, status: "downloading", progress: 12, ts },
  vci: sampleVci({ ECU_002: "7.7.7" }),
  "control/response": { command_id, status: "completed", result: "done", ts },
  diagnostics: {
    request_id,
    attempt: 1,
    ecu_id: "ECU_001",
    success: true,
    response_data: "62F19031",
  },
  "diagnostics/events": {
    kind: "scan",
    update_id,
    phase: "before_update",
    ecus: [{ ecu_id: "ECU_001", dids: { F190: "31" } }],
    ts,
  },
};

describe("a gateway that is killed right after the last PUBACK", () => {
  const { path: folder, remove } = temporaryFolder();
  const certsDir = join(folder, "certs");
  let place: Awaited<ReturnType<typeof testDatabase>>;
  let gateway: GatewayProcess;
  let database: Database;

  const open = () =>
    openDatabase(
      { data_dir: join(folder, "gateway"), database: { url: place.url, pool_size: 2 } },
      silentLog,
    );

  beforeAll(async () => {
    place = await testDatabase(join(folder, "gateway"));
    database = await open();
    await prepare();
    await database.close();
    gateway = await startGatewayProcess({
      folder,
      certsDir,
      ports: { https: 0, mqtt: 0 },
      databaseUrl: place.url,
    });
    await publishAllAndKill();
    database = await open();
  });
  afterAll(async () => {
    await database.close();
    await place.drop();
    remove();
  });

  /** What the messages are about. */
  async function prepare(): Promise<void> {
    const { db } = database;
    await registerVehicle(db, { vin });
    await db
      .insertInto("package")
      .values({
        package_id: "pkg-1",
        manifest: Buffer.of(1),
        signatures: Buffer.of(1),
        size: 1,
        sha256: "0",
        zones: "[]",
      })
      .execute();
    const targets = [sampleTarget({ to_version: "2.0.0" })];
    await db
      .transaction()
      .execute((tx) => insertUpdate(tx, { update_id, vin, package_id: "pkg-1", targets }));
    const expires_at = new Date(Date.now() + 3_600_000);
    await insertCommand(db, {
      command_id,
      vin,
      command: "ota_status",
      params: undefined,
      issued_by: "test",
      expires_at,
    });
    const request_data = Buffer.from("22F190", "hex");
    const request = newRequest({ vin, request_id, request_data, timeout_ms: 60_000 });
    await insertRequest(db, request, "sent");
  }

  async function publishAllAndKill(): Promise<void> {
    await issueVehicleCertificate(certsDir, { vehicleId: vin });
    const identity = await loadVehicleIdentity(certsDir, vin);
    const tls = clientTlsOptions({ profile: 2, identity, ca: await serverCa(certsDir) });
    const client = await mqtt.connectAsync({
      host: "localhost",
      port: gateway.ports.mqtt,
      protocol: "mqtts",
      protocolVersion: 4,
      clientId: vin,
      reconnectPeriod: 0,
      ...(tls as IClientOptions),
    });
    await Promise.all(
      Object.entries(messages).map(([name, message]) =>
        client.publishAsync(topicOf(vin, name as VehicleTopic), JSON.stringify(message), {
          qos: 1,
        }),
      ),
    );
    await gateway.kill();
    await client.endAsync(true);
  }

  it("was sent one of every kind that goes up", () => {
    const up = Object.entries(vehicleTopics).filter(([, direction]) => direction !== "down");
    expect(up.map(([name]) => name).sort()).toEqual(Object.keys(messages).sort());
  });

  it("has the telemetry", async () => {
    const rows = await database.db.selectFrom("telemetry").selectAll().execute();
    expect(rows).toMatchObject([{ vin, signals: { speed: 61 } }]);
  });

  it("has the heartbeat", async () => {
    const rows = await database.db.selectFrom("vehicle").select("heartbeat").execute();
    expect(rows).toEqual([{ heartbeat: messages.heartbeat }]);
  });

  it("has the step of the update, and the report of it", async () => {
    const updates = await database.db.selectFrom("vehicle_update").selectAll().execute();
    expect(updates).toMatchObject([{ update_id, status: "downloading", progress: 12 }]);
    const events = await database.db.selectFrom("update_event").selectAll().execute();
    expect(events).toMatchObject([{ update_id, status: "downloading", applied: true }]);
  });

  it("has the VCI", async () => {
    const rows = await database.db.selectFrom("vci").selectAll().execute();
    expect(rows).toMatchObject([
      { vin, current: true, ecus: sampleVci({ ECU_002: "7.7.7" }).ecus },
    ]);
  });

  it("has the command's outcome", async () => {
    const rows = await database.db.selectFrom("command").selectAll().execute();
    expect(rows).toMatchObject([{ command_id, status: "completed", result: "done" }]);
  });

  it("has the diagnostic answer", async () => {
    const rows = await database.db.selectFrom("diagnostic_request").selectAll().execute();
    expect(rows).toMatchObject([
      {
        request_id,
        status: "completed",
        responses: [{ ecu_id: "ECU_001", response_data: "62F19031" }],
      },
    ]);
  });

  it("has the scan", async () => {
    const rows = await database.db.selectFrom("diagnostic_scan").selectAll().execute();
    expect(rows).toMatchObject([
      { vin, update_id, phase: "before_update", ecus: [{ ecu_id: "ECU_001" }] },
    ]);
  });
});
