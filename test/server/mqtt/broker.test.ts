import type { MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { vehicleTopics, type VehicleTopic } from "#protocol/mqtt/topic.ts";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { metric } from "#test/server/metric.ts";

const vin = "VMG-001";
const witnessVin = "VMG-002";
let gateway: TestGateway;
let vehicle: Caller;
let witness: MqttClient;
const witnessed: string[] = [];

beforeAll(async () => {
  gateway = await startGateway({ mqtt: { payload_limit: 16_384 } });
  vehicle = await gateway.vehicle(vin);
  for (const [id, caller] of [
    [vin, vehicle],
    [witnessVin, await gateway.vehicle(witnessVin)],
  ] as const) {
    await caller.send("POST", "/api/v1/vehicles/register", { body: { vin: id } });
  }
  witness = await gateway.mqtt(witnessVin);
  await witness.subscribeAsync(`vehicle/${witnessVin}/#`, { qos: 1 });
  witness.on("message", (topic) => {
    // Its own come back to it, as it listens to all of its topics.
    if (!topic.endsWith("/heartbeat")) witnessed.push(topic);
  });
});
afterAll(() => gateway.close());

const ts = () => new Date().toISOString();
const own = (name: VehicleTopic) => `vehicle/${vin}/${name}`;
const refused = (reason: string) => metric(gateway, "mqtt_refused_total", { reason });

/** Publishes and waits for the PUBACK. */
const send = (client: MqttClient, topic: string, payload: unknown, qos: 0 | 1 | 2 = 1) =>
  client.publishAsync(topic, typeof payload === "string" ? payload : JSON.stringify(payload), {
    qos,
  });

const closed = (client: MqttClient) =>
  new Promise<void>((done) => (client.connected ? client.once("close", () => done()) : done()));

async function samples(id = vin): Promise<Record<string, unknown>[]> {
  const answer = await gateway.admin.send("GET", `/api/v1/vehicles/${id}/telemetry?limit=500`);
  return answer.json.items.map(({ signals }: { signals: object }) => signals);
}

/** What the gateway grants: the QoS, or 0x80. */
async function granted(client: MqttClient, filters: string[]): Promise<number[]> {
  const suback = new Promise<number[]>((done) => {
    client.on("packetreceive", (packet) => {
      if (packet.cmd === "suback") done(packet.granted as number[]);
    });
  });
  await client.subscribeAsync(filters, { qos: 1 }).catch(() => undefined);
  return suback;
}

let releases = 0;

async function openUpdate(): Promise<string> {
  await publish(gateway.admin, { ecu_type: "brake", version: `2.${++releases}.0` });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  return (await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } })).json.update_id;
}

describe("a vehicle's message", () => {
  it.each([0, 1, 2] as const)("is stored, with QoS %i", async (qos) => {
    const client = await gateway.mqtt(vin);
    await send(client, own("telemetry"), { ts: ts(), marker: `qos-${qos}` }, qos);
    await vi.waitFor(async () => {
      expect(await samples()).toContainEqual({ marker: `qos-${qos}` });
    });
    await client.endAsync();
  });

  it("of any kind is stored when its PUBACK arrives", async () => {
    const update_id = await openUpdate();
    const client = await gateway.mqtt(vin);
    await send(client, own("telemetry"), { ts: ts(), marker: "each" });
    expect(await samples()).toContainEqual({ marker: "each" });
    await send(client, own("ota/status"), {
      update_id,
      status: "downloading",
      progress: 7,
      ts: ts(),
    });
    const update = await gateway.admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(update.json).toMatchObject({ status: "downloading", progress: 7 });
    await send(client, own("vci"), { ...sampleVci({ ECU_002: "4.4.4" }), vin });
    const history = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/vci?limit=1`);
    expect(history.json.items[0].ecus[1].software_version).toBe("4.4.4");
    await client.endAsync();
  });

  it("keeps its order among others that come in one burst", async () => {
    const update_id = await openUpdate();
    const client = await gateway.mqtt(vin);
    const steps = [
      "downloading",
      "downloading",
      "verifying",
      "backing_up",
      "installing",
      "installing",
    ];
    const reports = [...steps, "restarting", "health_check", "failed"].map((status, index) =>
      send(client, own("ota/status"), { update_id, status, progress: index * 10, ts: ts() }),
    );
    await Promise.all(reports);
    const { json } = await gateway.admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(json.events.map(({ progress }: { progress: number }) => progress)).toEqual([
      0, 10, 20, 30, 40, 50, 60, 70, 80,
    ]);
    expect(json.events.every(({ applied }: { applied: boolean }) => applied)).toBe(true);
    expect(json.status).toBe("failed");
    await client.endAsync();
  });

  it("burst of thousands is stored to the last one", async () => {
    const client = await gateway.mqtt("VMG-003");
    const before = await refused("MQTT_PAYLOAD_INVALID");
    const burst = Array.from({ length: 3000 }, (_, n) =>
      send(client, "vehicle/VMG-003/telemetry", { ts: ts(), n }),
    );
    await Promise.all(burst);
    await (
      await gateway.vehicle("VMG-003")
    ).send("POST", "/api/v1/vehicles/register", {
      body: { vin: "VMG-003" },
    });
    const seen = new Set<number>();
    let cursor: string | null = "";
    while (cursor !== null) {
      const query: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const path = `/api/v1/vehicles/VMG-003/telemetry?limit=500${query}`;
      const { json } = await gateway.admin.send("GET", path);
      for (const { signals } of json.items) seen.add(signals.n);
      cursor = json.next_cursor;
    }
    expect(seen.size).toBe(3000);
    expect(await refused("MQTT_PAYLOAD_INVALID")).toBe(before);
    await client.endAsync();
  });

  it("is never kept as retained, nor given to others", async () => {
    const client = await gateway.mqtt(vin);
    const topic = own("diagnostics");
    await client.publishAsync(topic, JSON.stringify({ note: "kept?" }), { qos: 1, retain: true });
    const received: string[] = [];
    client.on("message", (each) => received.push(each));
    await client.subscribeAsync(topic, { qos: 1 });
    await send(client, own("heartbeat"), { ts: ts(), state: "idle" });
    expect(received).toEqual([]);
    expect(witnessed).toEqual([]);
    await client.endAsync();
  });
});

describe("a payload that can't be used", () => {
  const depth = 5000;
  const deep = `{"command_id":"0198c0de-0000-7000-8000-000000000000","status":"completed","ts":"2026-01-01T00:00:00Z","result":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  const bad: [VehicleTopic, string, unknown][] = [
    ["telemetry", "no JSON", "{"],
    ["telemetry", "empty", ""],
    ["telemetry", "binary", "\u0000\u0001\ufffd"],
    ["telemetry", "an array", [1, 2]],
    ["telemetry", "without a time", { speed: 1 }],
    ["telemetry", "of 1970", { ts: "1970-01-01T00:00:00Z", speed: 1 }],
    ["telemetry", "with an object inside", { ts: ts(), position: { lat: 1 } }],
    ["telemetry", "with a number too large for one", `{"ts":"${ts()}","speed":1e999}`],
    ["telemetry", "with NUL", `{"ts":"${ts()}","note":"\\u0000"}`],
    ["telemetry", "with half a surrogate", `{"ts":"${ts()}","note":"\\\\ud83d\\ude00"}`],
    ["heartbeat", "without a state", { ts: ts() }],
    [
      "ota/status",
      "with an id that is none",
      { update_id: "-".repeat(36), status: "failed", progress: 0, ts: ts() },
    ],
    [
      "ota/status",
      "with progress past the end",
      {
        update_id: "0198c0de-0000-7000-8000-000000000000",
        status: "failed",
        progress: 101,
        ts: ts(),
      },
    ],
    [
      "ota/status",
      "that claims success",
      {
        update_id: "0198c0de-0000-7000-8000-000000000000",
        status: "success",
        progress: 100,
        ts: ts(),
      },
    ],
    ["vci", "with a version that is none", sampleVci({ ECU_001: "1.0.0-01" })],
    [
      "control/response",
      "with an id that is none",
      { command_id: "-".repeat(36), status: "completed", ts: ts() },
    ],
    ["control/response", "nested without end", deep],
    [
      "diagnostics",
      "a response with odd hex",
      {
        request_id: "0198c0de-0000-7000-8000-000000000000",
        attempt: 1,
        success: true,
        ecu_id: "A",
        response_data: "62F",
      },
    ],
    [
      "diagnostics",
      "a response with an id that is none",
      { request_id: "-".repeat(36), attempt: 1, success: true },
    ],
  ];

  it.each(bad)(
    "%s, %s: is acknowledged, counted, and the connection lives",
    async (topic, _, payload) => {
      const client = await gateway.mqtt(vin);
      const before = await refused("MQTT_PAYLOAD_INVALID");
      await send(client, own(topic), payload);
      expect(await refused("MQTT_PAYLOAD_INVALID")).toBe(before + 1);
      await send(client, own("heartbeat"), { ts: ts(), state: "idle" });
      expect(client.connected).toBe(true);
      await client.endAsync();
    },
  );

  it("for reasons beyond its form is refused by its own code", async () => {
    const client = await gateway.mqtt(vin);
    const unknown = "0198c0de-0000-7000-8000-000000000000";
    const cases: [VehicleTopic, object, string][] = [
      [
        "ota/status",
        { update_id: unknown, status: "failed", progress: 0, ts: ts() },
        "UPDATE_UNKNOWN",
      ],
      ["vci", { ...sampleVci(), vin: witnessVin }, "VEHICLE_MISMATCH"],
      ["vci", { ...sampleVci(), zones: [{ zone_id: "ZG-X" }] }, "VCI_ZONE_UNKNOWN"],
      [
        "control/response",
        { command_id: unknown, status: "completed", ts: ts() },
        "COMMAND_RESPONSE_UNEXPECTED",
      ],
      [
        "diagnostics",
        { request_id: unknown, attempt: 1, success: true },
        "DIAGNOSTIC_RESPONSE_UNEXPECTED",
      ],
    ];
    for (const [topic, payload, reason] of cases) {
      const before = await refused(reason);
      await send(client, own(topic), payload);
      expect([reason, await refused(reason)]).toEqual([reason, before + 1]);
    }
    expect(client.connected).toBe(true);
    await client.endAsync();
  });

  it("that is no response is not the gateway's on the topic that goes both ways", async () => {
    const client = await gateway.mqtt(vin);
    const before = await refused("MQTT_PAYLOAD_INVALID");
    await send(client, own("diagnostics"), { request_id: "x", service_id: "0x22" });
    expect(await refused("MQTT_PAYLOAD_INVALID")).toBe(before);
    await client.endAsync();
  });

  it("over the limit closes the connection, and only that one", async () => {
    const client = await gateway.mqtt(vin);
    const gone = closed(client);
    client.publish(own("telemetry"), "x".repeat(20_000), { qos: 1 }, () => {});
    await gone;
    await send(witness, `vehicle/${witnessVin}/heartbeat`, { ts: ts(), state: "idle" });
    expect(witness.connected).toBe(true);
    await client.endAsync(true);
  });

  it("just under the limit is read", async () => {
    const client = await gateway.mqtt(vin);
    const before = await refused("MQTT_PAYLOAD_INVALID");
    await send(client, own("telemetry"), `{${" ".repeat(16_000)}`);
    expect(await refused("MQTT_PAYLOAD_INVALID")).toBe(before + 1);
    await client.endAsync();
  });
});

describe("a publish outside of the vehicle's own topics", () => {
  it.each([
    `vehicle/${witnessVin}/telemetry`,
    `vehicle/${witnessVin}/control`,
    `vehicle/${witnessVin}/diagnostics`,
    own("control"),
    own("config"),
    "vehicle/VMG-0011/telemetry",
    "vehicle/VMG-001/unknown",
    "vehicle",
    "$SYS/broker/uptime",
    "/",
    "vehicle/VMG-001/telemetry/",
  ])("to %s closes that client, is counted, and reaches nobody", async (topic) => {
    const before = await refused("MQTT_TOPIC_REFUSED");
    const client = await gateway.mqtt(vin);
    const gone = closed(client);
    client.publish(topic, JSON.stringify({ ts: ts(), marker: "trespass" }), { qos: 1 }, () => {});
    await gone;
    await client.endAsync(true);
    expect(await refused("MQTT_TOPIC_REFUSED")).toBe(before + 1);
    expect(witness.connected).toBe(true);
    expect(witnessed).toEqual([]);
    expect(await samples(witnessVin)).toEqual([]);
  });

  it("by a will reaches nobody either", async () => {
    const before = await refused("MQTT_TOPIC_REFUSED");
    const client = await gateway.mqtt(vin, {
      will: {
        topic: `vehicle/${witnessVin}/control`,
        payload: Buffer.from("{}"),
        qos: 1,
        retain: true,
      },
    });
    client.stream.destroy();
    await vi.waitFor(async () => expect(await refused("MQTT_TOPIC_REFUSED")).toBe(before + 1));
    await send(witness, `vehicle/${witnessVin}/heartbeat`, { ts: ts(), state: "idle" });
    expect(witnessed).toEqual([]);
    await client.endAsync(true);
  });
});

describe("a subscription", () => {
  const wide = [
    "#",
    "+/+/control",
    "vehicle/#",
    "vehicle/+/control",
    `vehicle/${witnessVin}/control`,
    "vehicle/VMG-0011/#",
    "$SYS/#",
    "$share/x/vehicle/VMG-001/control",
  ];

  it.each(wide)("to %s gets 0x80, and nothing comes by it", async (filter) => {
    const client = await gateway.mqtt(vin);
    const before = await refused("MQTT_SUBSCRIPTION_REFUSED");
    expect(await granted(client, [filter])).toEqual([128]);
    expect(await refused("MQTT_SUBSCRIPTION_REFUSED")).toBe(before + 1);
    await client.endAsync(true);
  });

  it("of several is granted one by one", async () => {
    const client = await gateway.mqtt(vin);
    expect(await granted(client, [own("control"), "vehicle/#", own("config")])).toEqual([
      1, 128, 1,
    ]);
    await client.endAsync();
  });

  it("to each of the vehicle's own topics is granted where something comes down", async () => {
    const client = await gateway.mqtt(vin);
    for (const [name, direction] of Object.entries(vehicleTopics)) {
      const [answer] = await granted(client, [own(name as VehicleTopic)]);
      expect([name, answer]).toEqual([name, direction === "up" ? 128 : 1]);
      client.removeAllListeners("packetreceive");
    }
    await client.endAsync();
  });
});

describe("a connection", () => {
  it("of the same vehicle takes the place of the one before", async () => {
    const first = await gateway.mqtt(vin);
    const gone = closed(first);
    const second = await gateway.mqtt(vin);
    await gone;
    await send(second, own("heartbeat"), { ts: ts(), state: "idle" });
    expect(second.connected).toBe(true);
    await second.endAsync();
  });
});

describe("after all that", () => {
  it("nothing has failed inside, and the witness has heard nothing", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    expect(witnessed).toEqual([]);
    expect(witness.connected).toBe(true);
  });
});
