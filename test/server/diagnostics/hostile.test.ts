import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import type { MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { eventReader } from "#test/helpers/event-reader.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Answer, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { openSocket, tlsAs } from "#test/server/raw-client.ts";

interface Vehicle {
  vin: string;
  client: MqttClient;
  asked: DiagnosticRequest[];
}

let gateway: TestGateway;
let vehicle: Vehicle;

beforeAll(async () => {
  gateway = await startGateway({ https: { stall_timeout_ms: 1_000 } });
  vehicle = await online("VMG-001");
});
afterAll(() => gateway.close());

/** A vehicle that is there and says nothing by itself. */
async function online(vin: string): Promise<Vehicle> {
  const caller = await gateway.vehicle(vin);
  await caller.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await caller.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  const client = await gateway.mqtt(vin);
  const asked: DiagnosticRequest[] = [];
  client.on("message", (topic, payload) => {
    const message = JSON.parse(payload.toString()) as DiagnosticRequest & { success?: boolean };
    if (topic.endsWith("/diagnostics") && message.success === undefined) asked.push(message);
  });
  await client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
  return { vin, client, asked };
}

const path = "/api/v1/diagnostics";
const request = { service_id: "22", data: "F190" };
const post = (body: object, { vin } = vehicle) =>
  gateway.admin.send("POST", `${path}/send`, {
    body: { vin, ecu_id: "ECU_001", ...request, ...body },
  });
const broadcast = (zone_id: string) =>
  gateway.admin.send("POST", `${path}/broadcast`, {
    body: { vin: vehicle.vin, zone_id, ...request },
  });
const result = async (id: string, wait_ms = 0) =>
  (await gateway.admin.send("GET", `${path}/results/${id}?wait_ms=${wait_ms}`)).json;

/** A request that was made, as the vehicle has got it. */
async function received({ status, json }: Answer, by = vehicle): Promise<DiagnosticRequest> {
  expect(status).toBe(202);
  const find = () => {
    const found = by.asked.find(({ request_id }) => request_id === json.request_id);
    if (found === undefined) throw new Error("it has not come");
    return found;
  };
  return vi.waitFor(find, { interval: 5 });
}
const asked = async (body: object = {}, by = vehicle) => received(await post(body, by), by);

/** Resolves when the gateway has taken it (PUBACK). */
const say = (message: object, { client, vin } = vehicle) =>
  client.publishAsync(`vehicle/${vin}/diagnostics`, JSON.stringify(message), { qos: 1 });

const answerTo = ({ request_id, attempt, ecu_id }: DiagnosticRequest, change: object = {}) => ({
  request_id,
  attempt,
  ...(ecu_id !== undefined && { ecu_id }),
  success: true,
  response_data: "62F19041",
  ...change,
});

async function refusals(reason: string): Promise<number> {
  const metrics = (await gateway.admin.send("GET", "/metrics")).bytes.toString();
  const line = new RegExp(`mqtt_refused_total\\{reason="${reason}"\\} (\\d+)`).exec(metrics);
  return Number(line?.[1] ?? 0);
}

const UNEXPECTED = "DIAGNOSTIC_RESPONSE_UNEXPECTED";
const INVALID = "MQTT_PAYLOAD_INVALID";
const nothing = "00000000-0000-4000-8000-000000000000";
const isOpen = { status: "sent", responses: [] };
const isAnswered = { status: "completed", responses: [{ response_data: "62F19041" }] };

describe("what a vehicle answers", () => {
  it.each<[string, object, string]>([
    ["to an id that nobody has", { request_id: nothing }, UNEXPECTED],
    ["for another ECU", { ecu_id: "ECU_002" }, UNEXPECTED],
    ["for an ECU that it does not have", { ecu_id: "ECU_999" }, UNEXPECTED],
    ["for a zone", { ecu_id: "ZG-FRONT" }, UNEXPECTED],
    [
      "for several ECUs",
      { responses: [{ ecu_id: "ECU_001", response_data: "62F19042" }] },
      UNEXPECTED,
    ],
    ["for no ECU of several", { response_data: undefined, responses: [] }, UNEXPECTED],
    ["in lower case", { response_data: "62f19041" }, INVALID],
    ["with half a byte", { response_data: "62F1904" }, INVALID],
    ["with blanks", { response_data: "62 F1 90 41" }, INVALID],
    ["with a prefix", { response_data: "0x62F19041" }, INVALID],
    ["with a line end", { response_data: "62F19041\n" }, INVALID],
    ["with a NUL", { error: { code: "X", message: "a\u0000b" } }, INVALID],
    ["as a number", { response_data: 62 }, INVALID],
    ["to an upper-case id", { request_id: nothing.replace(/4/, "A") }, INVALID],
    ["to no id", { request_id: "" }, INVALID],
    ["at attempt 0", { attempt: 0 }, INVALID],
    ["at half an attempt", { attempt: 1.5 }, INVALID],
    ["before it was asked", { duration_ms: -1 }, INVALID],
    ["with an ECU id that is a path", { ecu_id: "../ECU_001" }, INVALID],
    ["with success as text", { success: "true" }, INVALID],
    ["with a hop of its own making", { timing: { ecu_ms: "1" } }, INVALID],
    [
      "for more ECUs than a zone has",
      { responses: Array.from({ length: 257 }, () => ({ ecu_id: "A", response_data: "" })) },
      INVALID,
    ],
    [
      "with a reason that has no end",
      { error: { code: "X", message: "x".repeat(1_025) } },
      INVALID,
    ],
  ])("%s is not taken, and counted", async (_, change, reason) => {
    const sent = await asked();
    const before = await refusals(reason);
    await say(answerTo(sent, change));
    expect(await refusals(reason)).toBe(before + 1);
    expect(await result(sent.request_id)).toMatchObject(isOpen);
    await say(answerTo(sent));
    expect(await result(sent.request_id, 10_000)).toMatchObject(isAnswered);
  });

  it.each<[string, object]>([
    ["one ECU's answer", { response_data: "62F19041" }],
    ["an ECU's name", { ecu_id: "ECU_001", responses: [] }],
    ["an ECU's name and answer", { ecu_id: "ECU_001", response_data: "62F19041" }],
  ])("to a zone's request with %s is not taken", async (_, change) => {
    const sent = await received(await broadcast("ZG-FRONT"));
    const before = await refusals(UNEXPECTED);
    await say({ ...answerTo(sent), response_data: undefined, ...change });
    expect(await refusals(UNEXPECTED)).toBe(before + 1);
    expect(await result(sent.request_id)).toMatchObject(isOpen);
    const responses = [{ ecu_id: "ECU_001", response_data: "62F19041" }];
    await say({ ...answerTo(sent), response_data: undefined, responses });
    expect(await result(sent.request_id, 10_000)).toMatchObject(isAnswered);
  });

  it("to another vehicle's request is not taken, nor on its topic", async () => {
    const other = await online("VMG-002");
    const sent = await asked();
    const before = await refusals(UNEXPECTED);
    await say(answerTo(sent), other);
    await say(answerTo(sent, { pending: true }), other);
    expect(await refusals(UNEXPECTED)).toBe(before + 1);
    const closed = new Promise((resolve) => {
      other.client.once("close", () => resolve(true));
    });
    const message = JSON.stringify(answerTo(sent));
    other.client.publish(`vehicle/${vehicle.vin}/diagnostics`, message, { qos: 1 });
    await closed;
    expect(await result(sent.request_id)).toMatchObject(isOpen);
    await say(answerTo(sent));
    expect(await result(sent.request_id, 10_000)).toMatchObject(isAnswered);
  });

  it("a thousand times counts once, and does not fill the record", async () => {
    const sent = await asked();
    const before = await refusals(UNEXPECTED);
    await Promise.all(Array.from({ length: 1_000 }, () => say(answerTo(sent))));
    expect(await refusals(UNEXPECTED)).toBe(before + 999);
    await say(answerTo(sent, { response_data: "62F19099" }));
    await say(answerTo(sent, { pending: true }));
    expect(await result(sent.request_id)).toMatchObject(isAnswered);
    const audit = await gateway.admin.send("GET", "/api/v1/audit?limit=500");
    const items = audit.json.items as { action: string; subject: string }[];
    const kept = items.filter(({ subject }) => subject === sent.request_id);
    // The request, the answer, and perhaps one that was read before the answer was there.
    expect(kept.length).toBeLessThan(10);
  });

  it("that the answer will come is heard by who listens to that ECU", async () => {
    const query = `${path}/results/events?vin=${vehicle.vin}&ecu_id=ECU_001`;
    const listener = await eventReader(gateway, query);
    const sent = await asked();
    await say(answerTo(sent, { pending: true, response_data: undefined }));
    await vi.waitFor(() => expect(listener.statusesOf(sent.request_id)).toContain("pending"));
    await say(answerTo(sent));
    listener.close();
    await listener.ended;
  });

  it("does not come any more when it goes away: the request ends by itself", async () => {
    const leaving = await online("VMG-003");
    const sent = await asked({ service_id: "2E", timeout_ms: 100 }, leaving);
    await leaving.client.endAsync(true);
    expect(await result(sent.request_id, 10_000)).toMatchObject({
      status: "timeout",
      error: { code: "VEHICLE_TIMEOUT" },
    });
  });
});

describe("what an operator asks", () => {
  it.each<[string, object, string]>([
    ["in lower case", { data: "f190" }, "22F190"],
    ["with a prefix", { service_id: "0x22", data: "0xF190" }, "22F190"],
    ["with blanks between bytes", { data: " F1\t90\n" }, "22F190"],
    ["with a prefix before each byte", { data: "0xF1 0x90" }, "22F190"],
    ["without data", { service_id: "3E", data: "" }, "3E"],
    ["with all the bytes there may be", { data: "ab".repeat(4_094) }, `22${"AB".repeat(4_094)}`],
    ["with a key of 128 characters", { idempotency_key: "k".repeat(128) }, "22F190"],
    ["with a key of any text", { idempotency_key: "'; --\u{1f697}\n" }, "22F190"],
    ["for as short as may be", { timeout_ms: 100, ttl_s: 0, wait_ms: 0 }, "22F190"],
    ["for as long as may be", { timeout_ms: 60_000, ttl_s: 604_800 }, "22F190"],
  ])("%s is taken", async (_, body, bytes) => {
    const sent = await asked(body);
    expect(`${sent.service_id.slice(2)}${sent.data}`).toBe(bytes);
    await say(answerTo(sent));
    expect(await result(sent.request_id, 10_000)).toMatchObject({ request_data: bytes });
  });

  it.each<[string, object, string]>([
    ["with half a byte", { data: "F19" }, "DIAGNOSTIC_INVALID"],
    ["with a byte in two halves", { data: "F 190 " }, "DIAGNOSTIC_INVALID"],
    ["with a prefix alone", { data: "0x" }, "DIAGNOSTIC_INVALID"],
    ["with two prefixes", { data: "0x0xF1" }, "DIAGNOSTIC_INVALID"],
    ["with something else than hex", { data: "F19G" }, "DIAGNOSTIC_INVALID"],
    ["with other digits", { data: "\uff11\uff12" }, "DIAGNOSTIC_INVALID"],
    ["with 4,096 bytes", { data: "00".repeat(4_095) }, "DIAGNOSTIC_INVALID"],
    ["with more text than that", { data: "0".repeat(3 * 4_095 + 1) }, "REQUEST_INVALID"],
    ["with two services", { service_id: "2222" }, "REQUEST_INVALID"],
    ["with half a service", { service_id: "2" }, "REQUEST_INVALID"],
    ["with no service", { service_id: "" }, "REQUEST_INVALID"],
    ["of an ECU that is another vehicle's", { ecu_id: "ECU_X" }, "ECU_UNKNOWN"],
    ["of a zone as if it were an ECU", { ecu_id: "ZG-FRONT" }, "ECU_UNKNOWN"],
    ["of nobody", { ecu_id: "" }, "REQUEST_INVALID"],
    ["of a vehicle that nobody knows", { vin: "VMG-404" }, "VEHICLE_UNKNOWN"],
    ["in no session", { session_id: nothing }, "SESSION_UNKNOWN"],
    ["in a session that is no id", { session_id: "mine" }, "REQUEST_INVALID"],
    ["without a key", { idempotency_key: "" }, "REQUEST_INVALID"],
    ["with a key too long", { idempotency_key: "k".repeat(129) }, "REQUEST_INVALID"],
    ["with a key that no database holds", { idempotency_key: "\u0000" }, "REQUEST_MALFORMED"],
    ["for too short", { timeout_ms: 99 }, "REQUEST_INVALID"],
    ["for too long", { timeout_ms: 60_001 }, "REQUEST_INVALID"],
    ["for half a millisecond", { timeout_ms: 100.5 }, "REQUEST_INVALID"],
    ["with a life that is over", { ttl_s: -1 }, "REQUEST_INVALID"],
    ["with a life of more than a week", { ttl_s: 604_801 }, "REQUEST_INVALID"],
    ["with a wait too long", { wait_ms: 60_001 }, "REQUEST_INVALID"],
    ["with a wait before it", { wait_ms: -1 }, "REQUEST_INVALID"],
  ])("%s is refused, and nothing goes out", async (_, body, code) => {
    const before = vehicle.asked.length;
    expect(problemOf(await post(body))).toBe(code);
    const sent = await asked();
    expect(vehicle.asked.slice(before)).toEqual([sent]);
    await say(answerTo(sent));
  });

  it("of an ECU for a zone, or a zone of another vehicle, is refused", async () => {
    expect(problemOf(await broadcast("ECU_001"))).toBe("ZONE_UNKNOWN");
    expect(problemOf(await broadcast("ZG-404"))).toBe("ZONE_UNKNOWN");
  });

  it.each([
    "cursor=x",
    "cursor=00000000-0000-4000-8000-00000000000G",
    "cursor=",
    "limit=0",
    "limit=501",
    "from=yesterday",
    "from=1970-01-01T00:00:00Z",
    "from=2026-13-01T00:00:00Z",
    "to=2026-01-01",
    "to=2026-01-01T24:00:00Z",
    "vin=%00",
    "vin=..",
    "ecu_id=a%2Fb",
    "zone_id=%20",
    "status=done",
    "session_id=1",
    "service_id=2",
    "service_id=0x222",
    "requested_by=%00",
    `requested_by=${"x".repeat(65)}`,
  ])("of the list with %s is refused", async (query) => {
    const answer = await gateway.admin.send("GET", `${path}/results?${query}`);
    expect(problemOf(answer)).toBe("REQUEST_INVALID");
  });

  it.each(["from=2026-02-30T00:00:00Z", "to=2026-02-31T23:59:60Z", `cursor=${nothing}`])(
    "of the list with %s is an empty one, or refused",
    async (query) => {
      const answer = await gateway.admin.send("GET", `${path}/results?vin=${vehicle.vin}&${query}`);
      expect([200, 400]).toContain(answer.status);
    },
  );

  it.each(["x", "-1", "1.5", "1e3", "9".repeat(19), "1, 2", "%00", "\u00e9"])(
    "of a stream behind event %s is refused",
    async (lastEventId) => {
      const stream = eventReader(gateway, `${path}/results/events`, { lastEventId });
      await expect(stream).rejects.toThrow("refused with 400");
    },
  );

  it("of a stream behind an event that is still to come begins with what does", async () => {
    const lastEventId = "9".repeat(18);
    const stream = await eventReader(gateway, `${path}/results/events?vin=${vehicle.vin}`, {
      lastEventId,
    });
    const sent = await asked();
    await vi.waitFor(() => expect(stream.statusesOf(sent.request_id)).toEqual(["sent"]));
    stream.close();
    await stream.ended;
    await say(answerTo(sent));
  });
});

it("a stream that nobody reads is cut off, and keeps nobody else waiting", async () => {
  const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
    body: { name: "sleeper", role: "viewer" },
  });
  const socket: TLSSocket = await openSocket(gateway, "https", await tlsAs(gateway));
  const headers = `host: localhost\r\nauthorization: Bearer ${json.token}`;
  socket.write(`GET ${path}/results/events?vin=${vehicle.vin} HTTP/1.1\r\n${headers}\r\n\r\n`);
  await once(socket, "readable");
  const cutOff = () => gateway.log.some(({ msg }) => msg === "[HTTPS] Stalled connection cut off");
  const MOST = 200;
  let times = 0;
  for (; times < MOST && !cutOff(); times++) {
    const sent = await asked({ data: "AB".repeat(4_000) });
    await say(answerTo(sent, { response_data: `62${"AB".repeat(60_000)}` }));
  }
  await vi.waitFor(() => expect(cutOff()).toBe(true), { timeout: 10_000 });
  socket.destroy();
});

describe("after all that", () => {
  it("nothing has failed inside", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
