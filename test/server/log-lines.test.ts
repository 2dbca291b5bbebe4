import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";

const vin = "VMG-001";
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

const lines = (level: number) =>
  gateway.log.filter((line) => line["level"] === level && line["vehicle"] === vin);

it("the log tells what a VCI and a check found, and in detail what telemetry was stored", async () => {
  await publish(gateway.admin, { ecu_type: "brake", version: "2.0.0" });
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  const { ecus } = sampleVci({ ECU_001: "2.0.0" });
  await vehicle.send("POST", "/api/v1/ota/check", { body: { vin, ecus } });
  const found = lines(30).map(({ msg }) => msg);
  expect(found).toContain("[HTTPS] Found 1 outdated ECUs");
  expect(found).toContain("[HTTPS] Found 0 outdated ECUs");

  const client = await gateway.mqtt(vin);
  const sample = JSON.stringify({ ts: new Date().toISOString(), speed: 50 });
  await client.publishAsync(`vehicle/${vin}/telemetry`, sample, { qos: 1 });
  await vi.waitFor(() =>
    expect(lines(20).map(({ msg }) => msg)).toContain(`[MQTT] Telemetry from ${vin} stored`),
  );
});
