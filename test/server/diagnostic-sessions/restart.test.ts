import { afterAll, beforeAll, expect, it } from "vitest";
import type { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { testVehicle } from "#test/vmg-sim/vmg/test-vehicle.ts";
import { connect, opening, register } from "./remote-vehicle.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
});
afterAll(() => gateway.close());

const api = "/api/v1/diagnostics";
const open = async (vin: string, ecu_id: string) => {
  const body = { vin, ecu_id };
  const answer = await gateway.admin.send("POST", `${api}/sessions`, { body });
  return answer.json as DiagnosticSession;
};
const read = async ({ session_id }: DiagnosticSession) =>
  (await gateway.admin.send("GET", `${api}/sessions/${session_id}`)).json as DiagnosticSession;
const close = async ({ session_id }: DiagnosticSession) =>
  (await gateway.admin.send("DELETE", `${api}/sessions/${session_id}`)).json as DiagnosticSession;

it("sessions are taken up by a gateway that starts anew, those that ended meanwhile are closed", async () => {
  const vin = "VMG-AGAIN";
  await register(gateway, vin);
  const vehicle = opening(await connect(gateway, vin));
  const kept = await open(vin, "ECU_001");
  const closed = await open(vin, "ECU_002");
  await vehicle.client.endAsync(true);
  await close(closed);
  await gateway.restart();
  expect(await read(kept)).toMatchObject({ status: "open" });
  const back = await connect(gateway, vin);
  expect(await back.was("renew_session")).toMatchObject({ session_id: kept.session_id });
  expect(await back.was("close_session")).toMatchObject({ session_id: closed.session_id });
  expect(back.told).toHaveLength(2);
});

it("a simulated vehicle keeps an ECU for one operator", async () => {
  const vin = "VMG-SIM";
  const vehicle = await testVehicle(gateway, { vin });
  await vehicle.agent.started;
  const [ecu] = vehicle.hardware.zones.flatMap(({ ecus }) => ecus);
  const ecu_id = ecu?.ecu_id ?? "";
  const session = await open(vin, ecu_id);
  expect(session).toMatchObject({
    status: "open",
    response_data: expect.stringMatching(/^5003/) as string,
  });
  const ask = async (more: object) => {
    const body = { vin, ecu_id, service_id: "22", data: "F186", wait_ms: 10_000, ...more };
    return (await gateway.admin.send("POST", `${api}/send`, { body })).json;
  };
  expect(await ask({})).toMatchObject({ code: "ECU_LOCKED" });
  expect(await ask({ session_id: session.session_id })).toMatchObject({
    status: "completed",
    responses: [{ response_data: "62F18603" }],
  });
  expect(await close(session)).toMatchObject({ status: "ended", end_reason: "closed" });
  const next = await open(vin, ecu_id);
  expect(next).toMatchObject({ status: "open" });
  await gateway.admin.send("POST", `${api}/revoke`, { body: { vin, reason: "test of it" } });
  expect(await read(next)).toMatchObject({ end_reason: "revoked" });
  expect(await ask({})).toMatchObject({ status: "completed" });
});
