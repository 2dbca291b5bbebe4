import type { MqttClient } from "mqtt";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiagnosticRequest, DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { metric } from "#test/server/metric.ts";

let gateway: TestGateway;
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ diagnostics: { timeout_ms: 5000, tries: 3 } });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-${++counter}00`;
  await register(vin);
});

async function register(id: string): Promise<void> {
  const vehicle = await gateway.vehicle(id);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin: id } });
  await vehicle.send("POST", `/api/v1/vehicles/${id}/vci`, { body: sampleVci() });
}

type Answer = Partial<DiagnosticResponse> | undefined;

interface ScriptedVehicle {
  client: MqttClient;
  /** What it was asked, in order. */
  asked: DiagnosticRequest[];
  answer(request: Partial<DiagnosticRequest>, response: Answer, as?: string): Promise<void>;
}

/** A vehicle that answers each request as the script says; undefined is silence. */
async function scripted(script: (request: DiagnosticRequest) => Answer): Promise<ScriptedVehicle> {
  const asked: DiagnosticRequest[] = [];
  const client = await gateway.mqtt(vin);
  const answer: ScriptedVehicle["answer"] = async (request, response, as = vin) => {
    const { request_id, attempt, ecu_id } = request;
    await client.publishAsync(
      `vehicle/${as}/diagnostics`,
      JSON.stringify({
        request_id,
        attempt,
        ...(ecu_id ? { ecu_id } : {}),
        success: true,
        ...response,
      }),
      { qos: 1 },
    );
  };
  client.on("message", (_, payload) => {
    const message = JSON.parse(payload.toString()) as DiagnosticRequest & { success?: boolean };
    if (message.success !== undefined) return;
    asked.push(message);
    const response = script(message);
    if (response) void answer(message, response);
  });
  await client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
  return { client, asked, answer };
}

async function send(body: object = {}): Promise<string> {
  const answer = await gateway.admin.send("POST", "/api/v1/diagnostics/send", {
    body: { vin, ecu_id: "ECU_001", service_id: "0x22", data: "F190", ...body },
  });
  expect(answer.status).toBe(202);
  return answer.json.request_id as string;
}

const result = async (id: string, wait_ms = 10_000) =>
  (await gateway.admin.send("GET", `/api/v1/diagnostics/results/${id}?wait_ms=${wait_ms}`)).json;

const failure = (code: string): Answer => ({ success: false, error: { code, message: "why" } });

describe("a request", () => {
  it("is answered: raw and decoded, with who asked and how long it took", async () => {
    const { asked } = await scripted(() => ({ response_data: "62F19057415555" }));
    const id = await send();
    expect(await result(id)).toMatchObject({
      vin,
      ecu_id: "ECU_001",
      zone_id: null,
      service_id: "0x22",
      request_data: "22F190",
      status: "completed",
      attempts: 1,
      error: null,
      responses: [{ ecu_id: "ECU_001", response_data: "62F19057415555" }],
      requested_by: "first-admin",
      duration_ms: expect.any(Number) as number,
    });
    expect(asked).toEqual([
      {
        request_id: id,
        ecu_id: "ECU_001",
        service_id: "0x22",
        data: "F190",
        timeout_ms: 5000,
        attempt: 1,
      },
    ]);
    const { responses } = await result(id);
    expect(JSON.stringify(responses[0].decoded)).toMatch(/VIN/i);
  });

  it("that the ECU refuses ends with its NRC, and is not tried again", async () => {
    const { asked } = await scripted(() => ({ response_data: "7F2231" }));
    const answer = await result(await send());
    expect(answer).toMatchObject({ status: "negative_response", attempts: 1 });
    expect(JSON.stringify(answer.responses[0].decoded)).toMatch(/requestOutOfRange/i);
    expect(asked).toHaveLength(1);
  });

  it("that can't wait ends at once when the vehicle is offline, or does not listen", async () => {
    const offline = await result(await send({ ttl_s: 0 }));
    expect(offline).toMatchObject({ status: "network_error", error: { code: "VEHICLE_OFFLINE" } });
    const client = await gateway.mqtt(vin);
    const deaf = await result(await send({ ttl_s: 0 }));
    expect(deaf).toMatchObject({ status: "network_error", error: { code: "VEHICLE_OFFLINE" } });
    await client.endAsync();
  });

  it("that only reads is tried three times, then timed out", async () => {
    const { asked } = await scripted(() => undefined);
    const answer = await result(await send({ timeout_ms: 100 }));
    expect(answer).toMatchObject({
      status: "timeout",
      attempts: 3,
      error: { code: "VEHICLE_TIMEOUT" },
    });
    expect(asked.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(asked.map(({ request_id }) => request_id)).size).toBe(1);
  });

  it.each([
    ["writes data", { service_id: "0x2E", data: "F19041" }],
    ["resets", { service_id: "0x11", data: "01" }],
    ["runs a routine", { service_id: "0x31", data: "010203" }],
    ["unlocks", { service_id: "0x27", data: "01" }],
    ["clears", { service_id: "0x14", data: "FFFFFF" }],
    ["is unknown", { service_id: "0xBA", data: "01" }],
  ])("that %s is tried once, however it fails", async (_, body) => {
    const { asked } = await scripted(() =>
      asked.length === 1 ? undefined : failure("DOIP_CONNECT"),
    );
    const first = await send({ ...body, timeout_ms: 100 });
    expect(await result(first)).toMatchObject({ status: "timeout", attempts: 1 });
    const second = await result(await send(body));
    expect(second).toMatchObject({ status: "network_error", attempts: 1 });
    expect(asked).toHaveLength(2);
  });

  it("is answered by a later attempt", async () => {
    const { asked } = await scripted(({ attempt }) =>
      attempt < 3 ? failure("UDS_TIMEOUT") : { response_data: "62F190" },
    );
    expect(await result(await send())).toMatchObject({ status: "completed", attempts: 3 });
    expect(asked).toHaveLength(3);
  });

  it("is answered late by an earlier attempt: an answer is an answer", async () => {
    const held: DiagnosticRequest[] = [];
    const vehicle = await scripted((request) => {
      held.push(request);
      return undefined;
    });
    const id = await send({ timeout_ms: 400 });
    await vi.waitFor(() => expect(held).toHaveLength(2), { timeout: 5000 });
    await vehicle.answer(held[0] ?? {}, { response_data: "62F190" });
    expect(await result(id)).toMatchObject({ status: "completed" });
  });

  it("is not cut short by the failure of an attempt that is over", async () => {
    const held: DiagnosticRequest[] = [];
    const vehicle = await scripted((request) => {
      held.push(request);
      return undefined;
    });
    const id = await send({ timeout_ms: 500 });
    await vi.waitFor(() => expect(held).toHaveLength(2), { timeout: 5000 });
    await vehicle.answer(held[0] ?? {}, failure("UDS_TIMEOUT"));
    await vehicle.answer(held[1] ?? {}, { response_data: "62F190" });
    expect(await result(id)).toMatchObject({ status: "completed", attempts: 2 });
  });

  it("that has ended stays so, whatever comes after", async () => {
    const vehicle = await scripted(() => ({ response_data: "62F190" }));
    const id = await send();
    const before = await result(id);
    const reason = { reason: "DIAGNOSTIC_RESPONSE_UNEXPECTED" };
    const refused = await metric(gateway, "mqtt_refused_total", reason);
    await vehicle.answer({ request_id: id, attempt: 1, ecu_id: "ECU_001" }, failure("DOIP_NACK"));
    expect(await result(id)).toEqual(before);
    expect(await metric(gateway, "mqtt_refused_total", reason)).toBe(refused + 1);
  });

  it("is not answered in the name of another ECU, and needs no name", async () => {
    const { asked, answer } = await scripted(() => undefined);
    const id = await send();
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    const [request] = asked as [DiagnosticRequest];
    await answer(request, { ecu_id: "ECU_002", response_data: "62F190FF" });
    expect((await result(id, 0)).status).toBe("sent");
    const { ecu_id: _, ...nameless } = request;
    await answer(nameless, { response_data: "62F19031" });
    expect(await result(id)).toMatchObject({
      status: "completed",
      responses: [{ ecu_id: "ECU_001", response_data: "62F19031" }],
    });
  });

  it("is not answered by another vehicle", async () => {
    const victim = await scripted(() => undefined);
    const id = await send({ timeout_ms: 2000, service_id: "0x2E", data: "F19041" });
    await vi.waitFor(() => expect(victim.asked).toHaveLength(1));
    const mine = vin;
    vin = "VMG-LIAR";
    await register(vin);
    const liar = await scripted(() => undefined);
    await liar.answer(
      { request_id: id, attempt: 1, ecu_id: "ECU_001" },
      { response_data: "6EF190" },
    );
    expect(await result(id, 0)).toMatchObject({ vin: mine, status: "sent", responses: [] });
    await victim.answer(
      { request_id: id, attempt: 1, ecu_id: "ECU_001" },
      { response_data: "6EF190" },
      mine,
    );
    expect(await result(id)).toMatchObject({ status: "completed" });
  });

  it.each([
    ["UDS_TIMEOUT", "timeout", 3],
    ["DOIP_CONNECT", "network_error", 3],
    ["DOIP_NACK", "network_error", 3],
    ["DOIP_UNREACHABLE", "network_error", 3],
    ["VEHICLE_BUSY", "denied", 3],
    ["ECU_UNKNOWN", "network_error", 1],
    ["REQUEST_INVALID", "network_error", 1],
    ["ANYTHING_ELSE", "network_error", 3],
  ])("that fails by %s ends as %s after %i attempts", async (code, status, attempts) => {
    const { asked } = await scripted(() => failure(code));
    expect(await result(await send())).toMatchObject({
      status,
      attempts,
      error: { code, message: "why" },
      responses: [],
    });
    expect(asked).toHaveLength(attempts);
  });

  it("whose answer is any bytes at all can be read", async () => {
    const odd = ["", "00", "7F", "7F22", "7F223100", "FF".repeat(4095), "62", "62F1", "59", "6712"];
    const services = ["0x22", "0x19", "0x27", "0x31", "0x10", "0x00", "0xFF", "0x7F"];
    await scripted(({ data }) => ({
      response_data: odd[Number.parseInt(data.slice(0, 2), 16)] ?? "",
    }));
    for (const service_id of services) {
      for (const index of odd.keys()) {
        const data = index.toString(16).padStart(2, "0");
        const { request_id, status } = await result(await send({ service_id, data }));
        expect([request_id, status]).toEqual([
          expect.any(String),
          expect.stringMatching(/^(completed|negative_response)$/),
        ]);
      }
    }
  });
});

describe("waiting for a result", () => {
  it("ends when the time is over, with where the request stands", async () => {
    const { asked } = await scripted(() => undefined);
    const id = await send({ timeout_ms: 3000, service_id: "0x2E", data: "F19041" });
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    expect(await result(id, 0)).toMatchObject({
      status: "sent",
      completed_at: null,
      duration_ms: null,
    });
    expect(await result(id, 50)).toMatchObject({ status: "sent" });
  });

  it("ends with the answer for everyone who waits", async () => {
    const vehicle = await scripted(() => undefined);
    const id = await send();
    await vi.waitFor(() => expect(vehicle.asked).toHaveLength(1));
    const waiting = [result(id), result(id), result(id)];
    await vehicle.answer(
      { request_id: id, attempt: 1, ecu_id: "ECU_001" },
      { response_data: "62F190" },
    );
    for (const each of await Promise.all(waiting))
      expect(each).toMatchObject({ status: "completed" });
  });
});

describe("a broadcast", () => {
  it("asks a zone once, and keeps each ECU's answer", async () => {
    const responses = [
      { ecu_id: "ECU_001", response_data: "7E00" },
      { ecu_id: "ECU_002", response_data: "7F3E12" },
    ];
    const { asked } = await scripted(() => ({ responses }));
    const sent = await gateway.admin.send("POST", "/api/v1/diagnostics/broadcast", {
      body: { vin, zone_id: "ZG-FRONT", service_id: "3E", data: "00" },
    });
    expect(sent.status).toBe(202);
    const answer = await result(sent.json.request_id as string);
    expect(answer).toMatchObject({
      status: "completed",
      ecu_id: null,
      zone_id: "ZG-FRONT",
      responses,
    });
    expect(asked).toMatchObject([{ zone_id: "ZG-FRONT", service_id: "0x3E", data: "00" }]);
    expect(asked[0]).not.toHaveProperty("ecu_id");
  });

  it("that nobody answers is not sent again", async () => {
    const { asked } = await scripted(() => failure("UDS_TIMEOUT"));
    const sent = await gateway.admin.send("POST", "/api/v1/diagnostics/broadcast", {
      body: { vin, zone_id: "ZG-FRONT", service_id: "22", data: "1234", wait_ms: 10_000 },
    });
    expect(sent.json).toMatchObject({ status: "timeout", attempts: 1 });
    expect(asked).toHaveLength(1);
  });
});

describe("results", () => {
  it("are listed newest first, by vehicle, ECU and status", async () => {
    await scripted(() => ({ response_data: "62F190" }));
    const first = await send();
    const second = await send({ ecu_id: "ECU_003" });
    await Promise.all([result(first), result(second)]);
    const list = async (query: string) => {
      const { json } = await gateway.admin.send(
        "GET",
        `/api/v1/diagnostics/results?vin=${vin}&${query}`,
      );
      return json.items.map(({ request_id }: { request_id: string }) => request_id);
    };
    expect(await list("")).toEqual([second, first]);
    expect(await list("ecu_id=ECU_003")).toEqual([second]);
    expect(await list("status=timeout")).toEqual([]);
  });
});

describe("a request that is open when the gateway stops", () => {
  it("is ended by maintenance after the restart", async () => {
    gateway.config.maintenance.interval_s = 0.05;
    const vehicle = await scripted(() => undefined);
    const id = await send({ timeout_ms: 200, service_id: "0x2E", data: "F19041" });
    await vi.waitFor(() => expect(vehicle.asked).toHaveLength(1));
    await gateway.restart();
    await vi.waitFor(
      async () =>
        expect(await result(id)).toMatchObject({
          status: "expired",
          error: { code: "GATEWAY_RESTARTED" },
        }),
      { timeout: 10_000 },
    );
  });
});

describe("after all that", () => {
  it("nothing has failed inside", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
