import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { settle } from "#test/protocol/doip/manual-clock.ts";

const vin = "VMG-001";
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startGateway();
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
});
afterAll(() => gateway.close());

it("a request goes out at once in whichever moment its vehicle begins to listen", async () => {
  const client = await gateway.mqtt(vin);
  const asked: string[] = [];
  client.on("message", (topic, payload) => {
    const { request_id, attempt } = JSON.parse(payload.toString()) as DiagnosticRequest;
    if (asked.includes(request_id)) return;
    asked.push(request_id);
    const answer = { request_id, attempt, ecu_id: "ECU_001", success: true, response_data: "62" };
    client.publish(topic, JSON.stringify(answer), { qos: 1 });
  });
  // Somewhere in these moments the vehicle's queue is looked into while the request is stored.
  for (let moment = 0; moment < 60; moment++) {
    const posted = gateway.admin.send("POST", "/api/v1/diagnostics/send", {
      body: { vin, ecu_id: "ECU_001", service_id: "22", data: "F190" },
    });
    for (let turn = 0; turn < moment; turn++) await settle();
    await client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
    const { json } = await posted;
    await vi.waitFor(() => expect(asked, `${moment}`).toContain(json.request_id), {
      interval: 5,
      timeout: 2_000,
    });
  }
});
