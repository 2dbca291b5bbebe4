import { join } from "node:path";
import { sql } from "kysely";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import pino from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  loadVehicleIdentity,
  serverCa,
  vehicleCa,
} from "#crypto/pki.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import { topicOf } from "#protocol/mqtt/topic.ts";
import { createMqtt, type Mqtt } from "#server/mqtt/broker.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState, type StateTracker } from "#server/runtime/state.ts";
import { telemetryTopics } from "#server/telemetry/topics.ts";
import { trackPresence } from "#server/vehicles/presence.ts";
import { vehicleTopics } from "#server/vehicles/topics.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

/** The MQTT side of a gateway over a database that the test can break. */
let own: OwnDatabase;
let broker: Mqtt;
let port: number;
let state: StateTracker;
const clients: MqttClient[] = [];
const log: Record<string, unknown>[] = [];

beforeAll(async () => {
  own = await ownDatabase();
  const { telemetry, tls, mqtt: listener } = loadServerConfig({});
  const certs = join(own.folder, "certs");
  await ensureDevelopmentPki(certs, { algorithms: ["ecdsa-p256"] });
  state = trackState();
  const metrics = createMetrics(state);
  const logger = pino(
    { level: "info" },
    { write: (line) => log.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const presence = trackPresence(own.db, logger);
  broker = await createMqtt({
    config: { tls, mqtt: { ...listener, host: "localhost", port: 0 } },
    identities: await loadServerIdentities(certs),
    clientCa: await vehicleCa(certs),
    log: logger,
    metrics,
    state,
    vehicleSeen: () => {},
  });
  const base = { db: own.db, presence, metrics, log: logger };
  for (const handler of [
    ...telemetryTopics({ ...base, config: telemetry }),
    ...vehicleTopics(base),
  ]) {
    broker.handle(handler);
  }
  ({ port } = await broker.listen());
});
afterAll(async () => {
  await broker.close();
  await own.remove();
});
beforeEach(async () => {
  await sql`delete from telemetry`.execute(own.db);
  await sql`delete from anomaly`.execute(own.db);
  return async () => {
    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
  };
});

async function connect(vin: string): Promise<MqttClient> {
  const certs = join(own.folder, "certs");
  await issueVehicleCertificate(certs, { vehicleId: vin });
  const identity = await loadVehicleIdentity(certs, vin);
  const client = await mqtt.connectAsync({
    host: "localhost",
    port,
    protocol: "mqtts",
    protocolVersion: 4,
    clientId: vin,
    reconnectPeriod: 0,
    ...(clientTlsOptions({ profile: 2, identity, ca: await serverCa(certs) }) as IClientOptions),
  });
  clients.push(client);
  return client;
}

const ts = "2026-05-04T10:00:00Z";

/** How a publish ends: with its PUBACK, or with the connection closed. */
function outcome(client: MqttClient, topic: string, payload: object): Promise<"puback" | "closed"> {
  return new Promise((done) => {
    client.once("close", () => done("closed"));
    client.publish(topic, JSON.stringify(payload), { qos: 1 }, (error) => {
      if (!error) done("puback");
    });
  });
}

const broken = async (table: string, work: () => Promise<void>) => {
  await sql`alter table ${sql.table(table)} rename to away`.execute(own.db);
  try {
    await work();
  } finally {
    await sql`alter table away rename to ${sql.table(table)}`.execute(own.db);
  }
};

async function rows(table: string): Promise<Record<string, unknown>[]> {
  return (await sql<Record<string, unknown>>`select * from ${sql.table(table)}`.execute(own.db))
    .rows;
}

describe("while the database fails", () => {
  it("telemetry is not acknowledged: the connection closes, and what is sent again is taken", async () => {
    const topic = topicOf("VMG-001", "telemetry");
    await broken("telemetry", async () => {
      const client = await connect("VMG-001");
      expect(await outcome(client, topic, { ts, speed: 50 })).toBe("closed");
    });
    expect(await rows("telemetry")).toEqual([]);
    const again = await connect("VMG-001");
    expect(await outcome(again, topic, { ts, speed: 50 })).toBe("puback");
    expect(await rows("telemetry")).toMatchObject([{ vin: "VMG-001", signals: { speed: 50 } }]);
  });

  it("no one else is cut off, nor anything of theirs lost", async () => {
    await registerVehicle(own.db, { vin: "VMG-003" });
    const bystander = await connect("VMG-003");
    await broken("telemetry", async () => {
      const client = await connect("VMG-002");
      expect(await outcome(client, topicOf("VMG-002", "telemetry"), { ts, speed: 1 })).toBe(
        "closed",
      );
      const beat = { ts, state: "idle" };
      expect(await outcome(bystander, topicOf("VMG-003", "heartbeat"), beat)).toBe("puback");
    });
    expect(bystander.connected).toBe(true);
    const [vehicle] = await rows("vehicle");
    expect(vehicle).toMatchObject({ vin: "VMG-003", heartbeat: { state: "idle" } });
  });

  it("an anomaly is not lost with the attempt to store it", async () => {
    const topic = topicOf("VMG-004", "telemetry");
    await broken("telemetry", async () => {
      const client = await connect("VMG-004");
      expect(await outcome(client, topic, { ts, speed: 400 })).toBe("closed");
    });
    const again = await connect("VMG-004");
    expect(await outcome(again, topic, { ts, speed: 400 })).toBe("puback");
    expect(await rows("anomaly")).toMatchObject([{ vin: "VMG-004", signal: "speed", value: 400 }]);
  });

  it("the log says what could not be stored, and no work is left counted", async () => {
    expect(
      log.some(({ msg }) => msg === "[MQTT] vehicle/VMG-001/telemetry could not be stored"),
    ).toBe(true);
    await vi.waitFor(() => expect(state.inFlight().mqtt).toBe(0));
  });
});

describe("anomalies", () => {
  it("are stored with the sample that shows them, once", async () => {
    const client = await connect("VMG-005");
    const topic = topicOf("VMG-005", "telemetry");
    for (const speed of [100, 300, 301, 100]) {
      expect(await outcome(client, topic, { ts, speed })).toBe("puback");
    }
    expect(await rows("anomaly")).toMatchObject([
      { rule: "limit", value: 300, detail: "above 250" },
    ]);
    expect(await rows("telemetry")).toHaveLength(4);
  });
});

describe("values that a database could stumble over", () => {
  it.each<Record<string, string | number>>([
    JSON.parse(`{"ts":"${ts}","__proto__":1}`) as Record<string, number>,
    { ts, constructor: 1, toString: "x" },
    { ts, n: 5e-324, m: -1.7976931348623157e308, z: -0 },
    { ts, text: "' \" \\ \u{1f600} \u202e {} null" },
    { ts: "2099-12-31T23:59:59.999999999-23:59", n: 1 },
    { ts: "2026-02-31T00:00:00Z", n: 1 },
    { ts, ["'; drop table telemetry; --"]: 1 },
  ])("%j are stored as they are", async (payload) => {
    const client = await connect("VMG-006");
    expect(await outcome(client, topicOf("VMG-006", "telemetry"), payload)).toBe("puback");
    const { ts: _, ...signals } = payload;
    expect(await rows("telemetry")).toMatchObject([
      { signals: JSON.parse(JSON.stringify(signals)) as object },
    ]);
  });
});
