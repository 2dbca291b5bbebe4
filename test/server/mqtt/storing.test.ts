import { sql } from "kysely";
import type { MqttClient } from "mqtt";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import { topicOf } from "#protocol/mqtt/topic.ts";
import { telemetryTopics } from "#server/telemetry/topics.ts";
import { trackPresence } from "#server/vehicles/presence.ts";
import { vehicleTopics } from "#server/vehicles/topics.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { startBroker, type OwnBroker } from "./own-broker.ts";

/** The MQTT side of a gateway over a database that the test can break. */
let own: OwnDatabase;
let broker: OwnBroker;
const clients: MqttClient[] = [];

beforeAll(async () => {
  own = await ownDatabase();
  const { telemetry } = loadServerConfig({});
  broker = await startBroker(own.folder, ({ metrics, log }) => {
    const base = { db: own.db, presence: trackPresence(own.db, log), metrics, log };
    return [...telemetryTopics({ ...base, config: telemetry }), ...vehicleTopics(base)];
  });
});
afterAll(async () => {
  await broker.mqtt.close();
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
  const client = await broker.connect(vin);
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
      broker.lines.some(
        ({ msg }) => msg === "[MQTT] vehicle/VMG-001/telemetry could not be stored",
      ),
    ).toBe(true);
    await vi.waitFor(() => expect(broker.state.inFlight().mqtt).toBe(0));
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
