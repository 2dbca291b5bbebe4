import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";

const vin = "VMG-001";
let gateway: TestGateway;
let vehicle: Caller;
let manager: Caller;
let approver: Caller;

beforeAll(async () => {
  gateway = await startGateway();
  vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  manager = await operator("anna", "campaign_manager");
  approver = await operator("cleo", "approver");
});
afterAll(() => gateway.close());

async function operator(name: string, role: string): Promise<Caller> {
  const body = { name, role };
  const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", { body });
  return gateway.operator(json.token);
}

const act = (who: Caller, id: string, action: string, body: object = {}) =>
  who.send("POST", `/api/v1/campaigns/${id}/${action}`, { body });

/** A campaign that runs, approved by somebody else than it was made by. */
async function running(release: string): Promise<string> {
  const body = { name: "Brakes", releases: [release], filter: `vin == "${vin}"` };
  const made = await manager.send("POST", "/api/v1/campaigns", { body });
  const id = made.json.campaign_id as string;
  const { revision } = (await act(manager, id, "submit")).json;
  await act(approver, id, "approve", { revision });
  expect((await act(manager, id, "start")).json).toMatchObject({ state: "running" });
  return id;
}

/** What the vehicle is told that it may install. */
async function outdated(): Promise<{ ecu_id: string; firmware_id: string }[]> {
  const { json } = await vehicle.send("POST", "/api/v1/ota/check", { body: { vin } });
  return json.outdated_ecus;
}

describe("a campaign in a gateway", () => {
  it("brings its release while it runs, and nobody else does", async () => {
    const fields = { availability: "campaign" };
    const { firmware_id } = await publish(gateway.admin, {
      ecu_type: "brake",
      version: "2.0.0",
      fields,
    });
    expect(await outdated()).toEqual([]);
    const id = await running(firmware_id);
    expect(await outdated()).toMatchObject([{ ecu_id: "ECU_001", firmware_id }]);
    await act(manager, id, "pause");
    expect(await outdated()).toEqual([]);
    await act(manager, id, "resume");
    expect((await outdated()).length).toBe(1);

    // The release is withdrawn: whoever archives it pauses the campaign with it.
    const path = `/api/v1/firmware/${firmware_id}/archive`;
    expect((await gateway.admin.send("POST", path)).status).toBe(200);
    expect((await manager.send("GET", `/api/v1/campaigns/${id}`)).json).toMatchObject({
      state: "paused",
      state_reason: { code: "CAMPAIGN_RELEASE_WITHDRAWN" },
    });
    expect((await act(manager, id, "resume")).json).toMatchObject({
      code: "CAMPAIGN_RELEASE_UNAVAILABLE",
    });
    expect((await act(manager, id, "stop")).json).toMatchObject({ state: "stopped" });
  });

  it("is told of in the vehicle's update, which ends with it before it is begun", async () => {
    const fields = { availability: "campaign" };
    const upload = { ecu_type: "lights", version: "2.0.0", fields };
    const { firmware_id } = await publish(gateway.admin, upload);
    const id = await running(firmware_id);
    const given = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    const { update_id } = given.json;
    const update = await gateway.admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(update.json).toMatchObject({ campaign_id: id, status: "pending" });
    const { json } = await manager.send("GET", `/api/v1/campaigns/${id}/vehicles`);
    expect(json.items).toMatchObject([{ vin, status: "waiting", update_id }]);

    const conditions = { parked: true, battery_soc: 90 };
    const readiness = async () => {
      const body = { update_id, phase: "download", conditions };
      return (await vehicle.send("POST", "/api/v1/ota/readiness", { body })).json;
    };
    await act(manager, id, "pause");
    expect(await readiness()).toMatchObject({
      ready: false,
      reasons: [{ code: "CAMPAIGN_PAUSED" }],
    });
    await act(manager, id, "stop");
    expect(await readiness()).toMatchObject({ reasons: [{ code: "CAMPAIGN_NOT_RUNNING" }] });
    const after = await gateway.admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(after.json).toMatchObject({ status: "cancelled" });
  });
});
