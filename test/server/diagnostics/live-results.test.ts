import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { eventReader, type EventReader } from "#test/helpers/event-reader.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";

let gateway: TestGateway;
let vin: string;
let counter = 0;
const readers: EventReader[] = [];

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(async () => {
  for (const reader of readers) reader.close();
  await gateway.close();
});
beforeEach(async () => {
  vin = `VMG-L${++counter}`;
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
});

async function listen(query: string, lastEventId?: string, token?: string): Promise<EventReader> {
  const path = `/api/v1/diagnostics/results/events?${query}`;
  const reader = await eventReader(gateway, path, { lastEventId, token });
  readers.push(reader);
  return reader;
}

async function online(): Promise<void> {
  const client = await gateway.mqtt(vin);
  client.on("message", (_, payload) => {
    const message = JSON.parse(payload.toString()) as DiagnosticRequest & { success?: boolean };
    if (message.success !== undefined) return;
    const { request_id, attempt, ecu_id } = message;
    const answer = { request_id, attempt, ecu_id, success: true, response_data: "62F19041" };
    void client.publishAsync(`vehicle/${vin}/diagnostics`, JSON.stringify(answer), { qos: 1 });
  });
  await client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
}

async function send(ecu_id = "ECU_001"): Promise<string> {
  const { json } = await gateway.admin.send("POST", "/api/v1/diagnostics/send", {
    body: { vin, ecu_id, service_id: "22", data: "F190" },
  });
  return json.request_id as string;
}

describe("GET /diagnostics/results/events", () => {
  it("tells of each change of the results that it is asked for", async () => {
    const reader = await listen(`vin=${vin}&ecu_id=ECU_001`);
    await send("ECU_002");
    const id = await send();
    await vi.waitFor(() => expect(reader.statusesOf(id)).toEqual(["queued"]));
    await online();
    await vi.waitFor(() => expect(reader.statusesOf(id).at(-1)).toBe("completed"));
    expect(new Set(reader.events.map(({ data }) => data.request_id))).toEqual(new Set([id]));
    expect(reader.events.at(-1)?.data).toMatchObject({
      vin,
      responses: [{ ecu_id: "ECU_001", response_data: "62F19041" }],
    });
  });

  it("goes on behind the last event that a client has seen", async () => {
    const first = await listen(`vin=${vin}`);
    const seen = await send();
    await vi.waitFor(() => expect(first.statusesOf(seen)).toEqual(["queued"]));
    first.close();
    const missed = [await send(), await send()];
    const second = await listen(`vin=${vin}`, first.events.at(-1)?.id);
    await vi.waitFor(() =>
      expect(second.events.map(({ data }) => data.request_id)).toEqual(missed),
    );
    const later = await send();
    await vi.waitFor(() => expect(second.statusesOf(later)).toEqual(["queued"]));
  });

  it("refuses an id that was never one", async () => {
    await expect(listen(`vin=${vin}`, "abc")).rejects.toThrow("400");
  });

  it("ends with the gateway, which does not wait for it", async () => {
    const reader = await listen(`vin=${vin}`);
    await gateway.restart();
    await expect(reader.ended).resolves.toBeUndefined();
  });
});
