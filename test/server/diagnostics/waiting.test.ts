import type { MqttClient } from "mqtt";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiagnosticRequest, DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";

let gateway: TestGateway;
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 0.05 } });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-W${++counter}`;
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
});

const read = { service_id: "22", data: "F190" };
const write = { service_id: "2E", data: "F19041" };

async function post(body: object, as: Caller = gateway.admin) {
  return as.send("POST", "/api/v1/diagnostics/send", {
    body: { vin, ecu_id: "ECU_001", ...read, ...body },
  });
}
async function send(body: object = {}, as?: Caller): Promise<string> {
  const { status, json } = await post(body, as);
  expect(status).toBe(202);
  return json.request_id as string;
}
const result = async (id: string, wait_ms = 10_000) =>
  (await gateway.admin.send("GET", `/api/v1/diagnostics/results/${id}?wait_ms=${wait_ms}`)).json;
const cancel = (id: string, as: Caller = gateway.admin) =>
  as.send("POST", `/api/v1/diagnostics/results/${id}/cancel`);

interface Vehicle {
  client: MqttClient;
  asked: DiagnosticRequest[];
  respond(request: DiagnosticRequest, response: Partial<DiagnosticResponse>): Promise<unknown>;
}

/** A vehicle that comes online and answers what it is asked; undefined is silence. */
async function online(
  answer: (request: DiagnosticRequest) => Partial<DiagnosticResponse> | undefined = () => ({
    response_data: "62F19041",
  }),
): Promise<Vehicle> {
  const asked: DiagnosticRequest[] = [];
  const client = await gateway.mqtt(vin);
  const respond: Vehicle["respond"] = ({ request_id, attempt, ecu_id }, response) =>
    client.publishAsync(
      `vehicle/${vin}/diagnostics`,
      JSON.stringify({ request_id, attempt, ecu_id, success: true, ...response }),
      { qos: 1 },
    );
  client.on("message", (topic, payload) => {
    const message = JSON.parse(payload.toString()) as DiagnosticRequest & { success?: boolean };
    if (!topic.endsWith("/diagnostics") || message.success !== undefined) return;
    asked.push(message);
    const response = answer(message);
    if (response) void respond(message, response);
  });
  await client.subscribeAsync(
    [`vehicle/${vin}/diagnostics`, `vehicle/${vin}/diagnostics/control`],
    {
      qos: 1,
    },
  );
  return { client, asked, respond };
}

async function operator(name: string, role = "diagnostician") {
  const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
    body: { name, role },
  });
  return { caller: gateway.operator(json.token as string), token_id: json.token_id as string };
}

describe("a request to a vehicle that is offline", () => {
  it("waits for it, in order, and is carried out once when it comes back", async () => {
    const ids = [];
    for (let index = 0; index < 60; index++)
      ids.push(await send(index % 2 === 0 ? {} : { ...write, ttl_s: 600 }));
    expect(await result(ids[0] ?? "", 0)).toMatchObject({
      status: "queued",
      attempts: 0,
      sent_at: null,
    });
    const { asked, client } = await online();
    for (const id of ids)
      expect(await result(id)).toMatchObject({ status: "completed", attempts: 1 });
    expect(asked.map(({ request_id }) => request_id)).toEqual(ids);
    await client.endAsync();
    const again = await online();
    await result(await send());
    expect(again.asked).toHaveLength(1);
  });

  it("expires when its time is over, and never goes out", async () => {
    const id = await send({ ttl_s: 1 });
    await vi.waitFor(
      async () =>
        expect(await result(id, 0)).toMatchObject({
          status: "expired",
          error: { code: "REQUEST_EXPIRED" },
        }),
      { timeout: 10_000 },
    );
    const { asked } = await online();
    await result(await send());
    expect(asked).toHaveLength(1);
  });

  it("outlives a restart of the gateway", async () => {
    const id = await send();
    await gateway.restart();
    await online();
    expect(await result(id)).toMatchObject({ status: "completed" });
  });

  it("that only reads goes on waiting when the vehicle left with it unanswered", async () => {
    const first = await online(() => undefined);
    const id = await send({ timeout_ms: 300 });
    await vi.waitFor(() => expect(first.asked).toHaveLength(1));
    await first.client.endAsync();
    await vi.waitFor(async () => expect((await result(id, 0)).status).toBe("queued"));
    const second = await online();
    expect(await result(id)).toMatchObject({ status: "completed", attempts: 2 });
    expect(second.asked).toHaveLength(1);
  });

  it("that changes something is not sent again, but its late answer counts", async () => {
    const vehicle = await online(() => undefined);
    const id = await send({ ...write, timeout_ms: 100 });
    expect(await result(id)).toMatchObject({
      status: "timeout",
      error: { code: "VEHICLE_TIMEOUT" },
    });
    const [request] = vehicle.asked as [DiagnosticRequest];
    await vehicle.respond(request, { response_data: "6EF190" });
    expect(await result(id)).toMatchObject({
      status: "completed",
      attempts: 1,
      error: null,
      responses: [{ response_data: "6EF190" }],
    });
    await vehicle.respond(request, { response_data: "7F2E31" });
    expect((await result(id)).responses).toMatchObject([{ response_data: "6EF190" }]);
    expect(vehicle.asked).toHaveLength(1);
  });
});

describe("an idempotency key", () => {
  it("brings the request that was made with it, also to many at once", async () => {
    const { asked } = await online();
    const key = { idempotency_key: "order-66", ...write };
    const ids = await Promise.all(Array.from({ length: 8 }, () => send(key)));
    expect(new Set(ids).size).toBe(1);
    expect(await result(ids[0] ?? "")).toMatchObject({ status: "completed" });
    expect(await send(key)).toBe(ids[0]);
    expect(asked).toHaveLength(1);
  });

  it("is each operator's own, and not for another request", async () => {
    const first = await send({ idempotency_key: "k" });
    const { caller } = await operator("somebody-else");
    expect(await send({ idempotency_key: "k" }, caller)).not.toBe(first);
    const { status, json } = await post({ idempotency_key: "k", data: "F191" });
    expect([status, json.code]).toEqual([422, "IDEMPOTENCY_KEY_REUSED"]);
  });
});

describe("cancelling", () => {
  it("ends a request that waits, for good", async () => {
    const id = await send();
    expect(await cancel(id)).toMatchObject({ status: 200, json: { status: "cancelled" } });
    expect((await cancel(id)).json.code).toBe("DIAGNOSTIC_ENDED");
    const { asked } = await online();
    await result(await send());
    expect(asked.map(({ request_id }) => request_id)).not.toContain(id);
  });

  it("asks the vehicle to forget one that was sent", async () => {
    const vehicle = await online(() => undefined);
    const told: unknown[] = [];
    vehicle.client.on("message", (topic, payload) => {
      if (topic.endsWith("/control")) told.push(JSON.parse(payload.toString()));
    });
    const id = await send({ ...write });
    await vi.waitFor(() => expect(vehicle.asked).toHaveLength(1));
    expect(await cancel(id)).toMatchObject({ status: 202, json: { status: "sent" } });
    await vi.waitFor(() => expect(told).toEqual([{ kind: "cancel_request", request_id: id }]));
    const [request] = vehicle.asked as [DiagnosticRequest];
    await vehicle.respond(request, {
      success: false,
      error: { code: "CANCELLED", message: "not asked yet" },
    });
    expect(await result(id)).toMatchObject({ status: "cancelled", error: { code: "CANCELLED" } });
  });

  it("is for whoever asked, or an admin", async () => {
    const [mine, other] = [await operator("mine"), await operator("other")];
    const id = await send({}, mine.caller);
    expect((await cancel(id, other.caller)).json.code).toBe("ROLE_REQUIRED");
    expect((await cancel(id, mine.caller)).status).toBe(200);
    expect((await cancel("00000000-0000-4000-8000-000000000000")).json.code).toBe(
      "DIAGNOSTIC_UNKNOWN",
    );
  });
});

describe("where the time goes", () => {
  it("is told for each hop", async () => {
    const timing = { queue_ms: 0.5, doip_ack_ms: 1, ecu_ms: 3, pending_count: 1, pending_ms: 2 };
    await online(() => ({ response_data: "62F190", duration_ms: 5, timing }));
    const { hops } = await result(await send());
    const ms = expect.any(Number) as number;
    expect(hops).toMatchObject({
      rest_ms: ms,
      queued_ms: ms,
      network_ms: ms,
      store_ms: ms,
      vmg_ms: 5,
      vehicle: timing,
    });
  });

  it("shows that the ECU has asked for more", async () => {
    const vehicle = await online(() => undefined);
    const id = await send();
    await vi.waitFor(() => expect(vehicle.asked).toHaveLength(1));
    const [request] = vehicle.asked as [DiagnosticRequest];
    await vehicle.respond(request, { pending: true });
    await vi.waitFor(async () => expect((await result(id, 0)).status).toBe("pending"));
    await vehicle.respond(request, { response_data: "62F190" });
    expect((await result(id)).status).toBe("completed");
  });
});

describe("waiting in the request itself", () => {
  it("brings the result with it", async () => {
    await online(() => ({ response_data: "7F2231", interlock: "stationary" }));
    expect(await post({ wait_ms: 10_000 })).toMatchObject({
      status: 200,
      json: { status: "negative_response", interlock: "stationary" },
    });
  });

  it("brings the request's id when it takes longer", async () => {
    expect(await post({ wait_ms: 50 })).toMatchObject({ status: 202, json: { status: "queued" } });
  });
});

describe("an operator whose token is taken away", () => {
  it("has nothing sent any more that was waiting", async () => {
    const { caller, token_id } = await operator("leaver");
    const id = await send({}, caller);
    await gateway.admin.send("DELETE", `/api/v1/operators/tokens/${token_id}`);
    const { asked } = await online();
    expect(await result(id)).toMatchObject({
      status: "denied",
      error: { code: "OPERATOR_REVOKED" },
    });
    expect(asked).toHaveLength(0);
  });
});

describe("after all that", () => {
  it("nothing has failed inside", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
