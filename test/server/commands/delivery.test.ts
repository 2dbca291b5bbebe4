import type { MqttClient } from "mqtt";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { metric } from "#test/server/metric.ts";

let gateway: TestGateway;
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-${++counter}00`;
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
});

interface Message {
  topic: string;
  payload: Record<string, unknown>;
  retain: boolean;
  qos: number;
}

/** A vehicle that listens, and keeps what it hears. */
async function listen(
  topics: string[],
  options = {},
): Promise<{ client: MqttClient; heard: Message[] }> {
  const heard: Message[] = [];
  const client = await gateway.mqtt(vin, options);
  client.on("message", (topic, payload, { retain, qos }) =>
    heard.push({
      topic,
      payload: JSON.parse(payload.toString()) as Record<string, unknown>,
      retain,
      qos,
    }),
  );
  for (const topic of topics) await client.subscribeAsync(`vehicle/${vin}/${topic}`, { qos: 1 });
  return { client, heard };
}

async function command(body: object = { command: "ota_status" }): Promise<string> {
  const answer = await gateway.admin.send("POST", `/api/v1/vehicles/${vin}/commands`, { body });
  expect(answer.status).toBe(202);
  return answer.json.command_id as string;
}

const state = async (id: string) =>
  (await gateway.admin.send("GET", `/api/v1/commands/${id}`)).json;
const statusOf = async (id: string) => (await state(id)).status as string;
const becomes = (id: string, status: string) =>
  vi.waitFor(async () => expect(await statusOf(id)).toBe(status), { timeout: 5000 });

const respond = (client: MqttClient, command_id: string, status: string, more = {}, as = vin) =>
  client.publishAsync(
    `vehicle/${as}/control/response`,
    JSON.stringify({ command_id, status, ts: new Date().toISOString(), ...more }),
    { qos: 1 },
  );

const ids = (heard: Message[]) => heard.map(({ payload }) => payload["command_id"]);

describe("a command", () => {
  it("goes from queued by sent, delivered and accepted to completed, with its result", async () => {
    const id = await command({ command: "ota_update", params: { force: true } });
    expect(await statusOf(id)).toBe("queued");
    const { client, heard } = await listen(["control"], { clean: false });
    await becomes(id, "delivered");
    expect(heard).toMatchObject([
      {
        topic: `vehicle/${vin}/control`,
        qos: 1,
        retain: false,
        payload: { command_id: id, command: "ota_update", params: { force: true } },
      },
    ]);
    await respond(client, id, "accepted");
    expect(await statusOf(id)).toBe("accepted");
    await respond(client, id, "completed", { result: { package: "none" } });
    expect(await state(id)).toMatchObject({ status: "completed", result: { package: "none" } });
    await client.endAsync();
  });

  it("is known to have arrived in a clean session too", async () => {
    const { client, heard } = await listen(["control"], { clean: true });
    const id = await command();
    await vi.waitFor(() => expect(ids(heard)).toEqual([id]));
    await becomes(id, "delivered");
    await client.endAsync();
  });

  it("goes out with QoS 0 to a vehicle that asked for no more, and counts as delivered", async () => {
    const { client, heard } = await listen([]);
    await client.subscribeAsync(`vehicle/${vin}/+`, { qos: 0 });
    const id = await command();
    await becomes(id, "delivered");
    await vi.waitFor(() => expect(heard).toMatchObject([{ qos: 0, payload: { command_id: id } }]));
    await client.endAsync();
  });

  it("waits in any number, and each goes out once to one connection", async () => {
    const wanted: string[] = [];
    for (let i = 0; i < 130; i++) wanted.push(await command());
    const { client, heard } = await listen(["control"], { clean: false });
    await becomes(wanted.at(-1) ?? "", "delivered");
    expect(ids(heard)).toEqual(wanted);
    await client.endAsync();
  });

  it("is not piled up for a vehicle that never acknowledges, however often it comes", async () => {
    const wanted = [await command(), await command()];
    for (let i = 0; i < 4; i++) {
      const { client } = await listen([], { clean: false });
      // Takes a message, but keeps its PUBACK back.
      const taken = new Promise<void>((done) => {
        client.handleMessage = () => done();
      });
      await client.subscribeAsync(`vehicle/${vin}/control`, { qos: 1 });
      await taken;
      await client.endAsync(true);
    }
    const { client, heard } = await listen(["control"], { clean: false });
    for (const id of wanted) await becomes(id, "delivered");
    expect(ids(heard)).toEqual(wanted);
    await client.endAsync();
  });

  it("to a vehicle that stops reading holds no operator up", async () => {
    const { client } = await listen(["control"]);
    client.stream.pause();
    const params = { text: "x".repeat(900_000) };
    const given: string[] = [];
    for (let i = 0; i < 50; i++) given.push(await command({ command: "ota_status", params }));
    expect(["queued", "sent"]).toContain(await statusOf(given.at(-1) ?? ""));
    client.stream.destroy();
    await client.endAsync(true);
  });

  it("that fails keeps why", async () => {
    const { client } = await listen(["control"]);
    const id = await command({ command: "ota_rollback" });
    const error = { code: "NOTHING_TO_ROLL_BACK", message: "there is no other bank" };
    await respond(client, id, "failed", { error });
    expect(await state(id)).toMatchObject({ status: "failed", result: { error } });
    await client.endAsync();
  });

  it.each([true, false])(
    "waits for a vehicle that is offline, and over a restart of the gateway (clean: %s)",
    async (clean) => {
      const { client } = await listen(["control"], { clean });
      await client.endAsync();
      const wanted = [await command(), await command({ command: "REQUEST_VCI" })];
      await gateway.restart();
      wanted.push(await command({ command: "ota_update" }));
      const again = await listen(["control"], { clean });
      await vi.waitFor(() => expect(new Set(ids(again.heard))).toEqual(new Set(wanted)));
      // Each may come twice, but the first of each in the order they were given.
      expect([...new Set(ids(again.heard))]).toEqual(wanted);
      for (const id of wanted) await becomes(id, "delivered");
      await again.client.endAsync();
    },
  );

  it("reaches a session that is kept, without a new subscription", async () => {
    const { client } = await listen(["control"], { clean: false });
    await client.endAsync();
    const id = await command();
    const heard: unknown[] = [];
    const back = await gateway.mqtt(vin, { clean: false, resubscribe: false });
    back.on("message", (_, payload) =>
      heard.push((JSON.parse(payload.toString()) as { command_id: string }).command_id),
    );
    await vi.waitFor(() => expect(heard).toContain(id));
    await becomes(id, "delivered");
    await back.endAsync();
  });

  it("is not sent to a vehicle that is connected but does not listen", async () => {
    const { client } = await listen(["config"]);
    const id = await command();
    expect(await statusOf(id)).toBe("queued");
    await client.subscribeAsync(`vehicle/${vin}/control`, { qos: 1 });
    await vi.waitFor(async () => expect(await statusOf(id)).not.toBe("queued"));
    await client.endAsync();
  });

  it("is not sent again once it has an outcome", async () => {
    const first = await listen(["control"]);
    const id = await command();
    await respond(first.client, id, "completed");
    await first.client.endAsync();
    const { client, heard } = await listen(["control", "config"]);
    const other = await command();
    await vi.waitFor(() => expect(ids(heard)).toContain(other));
    expect(ids(heard)).not.toContain(id);
    await client.endAsync();
  });

  it("that has expired is not sent", async () => {
    const id = await command({ command: "ota_update", ttl_s: 1 });
    const { expires_at } = await state(id);
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(Date.parse(expires_at)), {
      timeout: 5000,
    });
    const { client, heard } = await listen(["control"]);
    const other = await command();
    await vi.waitFor(() => expect(ids(heard)).toContain(other));
    expect(ids(heard)).toEqual([other]);
    await client.endAsync();
  });

  it("of someone else is answered by nobody but its vehicle", async () => {
    const id = await command();
    const stranger = await gateway.mqtt("VMG-STRANGER");
    const before = await metric(gateway, "mqtt_refused_total", {
      reason: "COMMAND_RESPONSE_UNEXPECTED",
    });
    await respond(stranger, id, "completed", {}, "VMG-STRANGER");
    expect(await statusOf(id)).toBe("queued");
    expect(
      await metric(gateway, "mqtt_refused_total", { reason: "COMMAND_RESPONSE_UNEXPECTED" }),
    ).toBe(before + 1);
    await stranger.endAsync();
  });

  it("keeps its first outcome, whatever comes later or twice", async () => {
    const { client } = await listen(["control"]);
    const id = await command();
    await respond(client, id, "rejected", { result: "busy" });
    for (const status of ["completed", "failed", "accepted"]) await respond(client, id, status);
    expect(await state(id)).toMatchObject({ status: "rejected", result: "busy" });
    await client.endAsync();
  });

  it("acknowledged after its answer stays answered", async () => {
    const { client } = await listen(["control"], { clean: false });
    const id = await command();
    await respond(client, id, "completed");
    await gateway.admin.send("GET", "/healthz");
    expect(await statusOf(id)).toBe("completed");
    await client.endAsync();
  });

  it("is listed, newest first", async () => {
    const first = await command();
    const second = await command({ command: "REQUEST_VCI" });
    const { json } = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/commands`);
    expect(json.items.map(({ command_id }: { command_id: string }) => command_id)).toEqual([
      second,
      first,
    ]);
    expect(json.items[0].issued_by).toBe("first-admin");
  });
});

describe("remote configuration", () => {
  const set = (body: object) =>
    gateway.admin.send("PUT", `/api/v1/vehicles/${vin}/config`, { body });

  it("is nothing until it is set, and counts its revisions", async () => {
    const get = async () =>
      (await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/config`)).json;
    expect(await get()).toEqual({ revision: 0, config: {} });
    await set({ heartbeat_interval_s: 5 });
    const second = await set({ auto_update: false });
    expect(second.json).toEqual({ revision: 2, config: { auto_update: false } });
    expect(await get()).toEqual(second.json);
  });

  it("reaches a vehicle that is subscribed at once, and without RETAIN (MQTT 3.1.1 3.3.1.3)", async () => {
    const { client, heard } = await listen(["config"]);
    await set({ heartbeat_interval_s: 7 });
    await vi.waitFor(() => expect(heard.length).toBeGreaterThan(0));
    expect(heard[0]).toMatchObject({
      topic: `vehicle/${vin}/config`,
      retain: false,
      qos: 1,
      payload: { revision: 1, config: { heartbeat_interval_s: 7 } },
    });
    await client.endAsync();
  });

  it.each([true, false])(
    "reaches a vehicle that was offline when it was set, the newest alone (clean: %s)",
    async (clean) => {
      const first = await listen(["config"], { clean });
      await first.client.endAsync();
      await set({ heartbeat_interval_s: 7 });
      await set({ heartbeat_interval_s: 8 });
      await gateway.restart();
      const { client, heard } = await listen(["config"], { clean });
      await vi.waitFor(() => expect(heard.length).toBeGreaterThan(0));
      for (const message of heard) {
        expect(message).toMatchObject({
          retain: true,
          payload: { revision: 2, config: { heartbeat_interval_s: 8 } },
        });
      }
      await client.endAsync();
    },
  );

  it("comes with a wildcard subscription too", async () => {
    await set({ auto_update: true });
    const { client, heard } = await listen(["#"]);
    await vi.waitFor(() =>
      expect(heard.map(({ topic }) => topic)).toContain(`vehicle/${vin}/config`),
    );
    await client.endAsync();
  });

  it("is nobody else's", async () => {
    await set({ auto_update: true });
    const mine = vin;
    vin = "VMG-ELSE";
    await (await gateway.vehicle(vin)).send("POST", "/api/v1/vehicles/register", { body: { vin } });
    const { client, heard } = await listen(["#"]);
    await command();
    await vi.waitFor(() => expect(heard.length).toBeGreaterThan(0));
    expect(heard.filter(({ topic }) => topic.includes(mine))).toEqual([]);
    expect(heard.filter(({ topic }) => topic.endsWith("config"))).toEqual([]);
    await client.endAsync();
  });
});

describe("after all that", () => {
  it("nothing has failed inside", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
