import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { heldPace } from "./held-pace.ts";
import { testVehicle, type TestVehicle } from "./test-vehicle.ts";

let gateway: TestGateway;
let firmware: string;

beforeAll(async () => {
  gateway = await startGateway();
  const image = randomBytes(60_000);
  for (const ecu_type of ["brake-controller", "body-controller"]) {
    const made = await publish(gateway.admin, { ecu_type, version: "1.2.3", image });
    firmware = made.firmware_id;
  }
});
afterAll(() => gateway.close());

const conditions = (change: object) => ({
  ...loadVehicleConfig({}).vehicle_conditions,
  ...change,
});
const api = (path: string) => `/api/v1${path}`;
const call = async (method: string, path: string, body?: object) => {
  const { status, json } = await gateway.admin.send(method, api(path), body && { body });
  return { status, json };
};

/** A registered vehicle with this policy, which is then switched on. */
async function vehicleWith(
  vin: string,
  policy: object,
  options: Partial<Parameters<typeof testVehicle>[1]> = {},
) {
  const pace = heldPace();
  const body = { vin, time_zone: "Europe/Berlin" };
  await (await gateway.vehicle(vin)).send("POST", api("/vehicles/register"), { body });
  expect((await call("PUT", `/vehicles/${vin}/policy`, policy)).status).toBe(200);
  const stateDir = testFolder();
  const start = () => testVehicle(gateway, { vin, stateDir, pace, autoUpdate: true, ...options });
  const vehicle = await start();
  await vehicle.agent.started;
  return { vehicle, pace, start };
}

async function latest(vin: string) {
  const { json } = await call("GET", `/updates?vin=${vin}`);
  return json.items[0] as {
    update_id: string;
    status: string;
    deferral: { code: string }[] | null;
  };
}
const becomes = (vin: string, status: string) =>
  vi.waitFor(async () => expect((await latest(vin)).status).toBe(status), { timeout: 30_000 });
const reasonsOf = async (vin: string) => (await latest(vin)).deferral?.map(({ code }) => code);
const phases = ({ events }: TestVehicle) =>
  events.flatMap((event) => (event.type === "status_reported" ? [event.status.status] : []));
const give = async (vin: string, body: object) => {
  const { status, json } = await call("POST", `/vehicles/${vin}/commands`, body);
  expect([200, 202]).toContain(status);
  return json as { command_id: string; status: string; result: Record<string, unknown> };
};

describe("a vehicle that may not update yet", () => {
  it("waits before the download, tells why, and goes on by itself", async () => {
    const vin = "VMG-401";
    const { vehicle, pace } = await vehicleWith(
      vin,
      { min_battery_soc: 50 },
      {
        config: { vehicle_conditions: conditions({ battery_soc: 20 }) },
      },
    );
    await becomes(vin, "deferred");
    expect(await reasonsOf(vin)).toEqual(["BATTERY_LOW"]);
    expect(vehicle.agent.updater.state).toBe("deferred");
    expect(phases(vehicle)).toEqual(["deferred"]);
    const { json } = await gateway.admin.send("GET", api("/events?kind=update.deferred"));
    expect(json.items.some((event: { vin: string }) => event.vin === vin)).toBe(true);

    await vi.waitFor(() => expect(pace.held).toContain(300_000));
    pace.release();
    // Still too low: the gateway is not told the same again.
    await vi.waitFor(() => expect(pace.held).toContain(300_000));
    vehicle.conditions.set({ battery_soc: 80 });
    pace.release();
    await becomes(vin, "success");
    expect(await reasonsOf(vin)).toBeUndefined();
    expect(phases(vehicle).filter((phase) => phase === "deferred")).toHaveLength(1);
  });

  it("downloads at the wheel and waits before the installation, also over a restart", async () => {
    const vin = "VMG-402";
    const { vehicle, pace, start } = await vehicleWith(
      vin,
      { parked: true, consent: "required" },
      {
        config: { vehicle_conditions: conditions({ drive: "driving", update_consent: true }) },
      },
    );
    await becomes(vin, "deferred");
    expect(await reasonsOf(vin)).toEqual(["NOT_PARKED"]);
    expect(phases(vehicle)).toContain("downloading");
    expect(vehicle.versions()["ECU_001"]).toBe("1.0.0");
    await vehicle.stop();

    const again = await start();
    await again.agent.started;
    expect(again.agent.updater.state).toBe("deferred");
    again.conditions.set({ gear: "P", speed_kmh: 0 });
    await vi.waitFor(() => expect(pace.held.some((ms) => ms >= 60_000)).toBe(true));
    pace.release();
    await becomes(vin, "success");
    expect(phases(again)).not.toContain("downloading");
  });

  it("keeps its own safety where the gateway demands nothing", async () => {
    const vin = "VMG-403";
    const { vehicle, pace } = await vehicleWith(
      vin,
      {},
      {
        config: { vehicle_conditions: conditions({ drive: "driving" }) },
      },
    );
    await becomes(vin, "deferred");
    expect(await reasonsOf(vin)).toEqual(["NOT_PARKED"]);
    vehicle.conditions.set({ gear: "P", speed_kmh: 0, voltage: 9 });
    pace.release();
    await vi.waitFor(async () => expect(await reasonsOf(vin)).toEqual(["VOLTAGE_UNFIT"]));
    vehicle.conditions.set({ voltage: 13 });
    await vi.waitFor(() => expect(pace.held.length).toBeGreaterThan(0));
    pace.release();
    await becomes(vin, "success");
  });

  it("by mode manual updates by a command alone, which force takes past consent", async () => {
    const vin = "VMG-404";
    const { vehicle } = await vehicleWith(vin, { mode: "manual", consent: "required" });
    expect((await call("GET", `/updates?vin=${vin}`)).json.items).toEqual([]);
    const raw = await (
      await gateway.vehicle(vin)
    ).send("POST", api("/ota/package"), { body: { vin } });
    expect(raw.json).toMatchObject({ status: 403, code: "UPDATE_NOT_APPROVED" });

    const params = { ecu_type: "brake-controller" };
    const first = await give(vin, { command: "ota_update", params });
    await becomes(vin, "deferred");
    expect(await reasonsOf(vin)).toEqual(["CONSENT_MISSING"]);
    expect((await call("GET", `/commands/${first.command_id}`)).json.status).toBe("accepted");

    const forced = {
      command: "START_OTA_UPDATE",
      params: { ...params, force: true },
      wait_ms: 30_000,
    };
    expect(await give(vin, forced)).toMatchObject({
      status: "completed",
      result: {
        action: "ota_update",
        status: "success",
        version: "1.2.3",
        previous_version: "1.0.0",
        timestamp: expect.any(String),
      },
    });
    // The first one was about the same.
    await vehicle.event(
      "command_handled",
      ({ command }) => command.command_id === first.command_id,
    );
    expect(vehicle.versions()).toMatchObject({ ECU_001: "1.2.3", ECU_004: "1.0.0" });
  });

  it("in a closed window gets no package, and comes back when it opens", async () => {
    const vin = "VMG-405";
    const far = new Date(Date.now() + 3 * 86_400_000).toLocaleDateString("en-GB", {
      weekday: "short",
    });
    const window = { days: [far.toLowerCase()], from: "12:00", to: "13:00" };
    const { vehicle, pace } = await vehicleWith(vin, { mode: "scheduled", windows: [window] });
    const answered = await vehicle.event("vci_answered");
    expect(answered.answer.policy).toMatchObject({ mode: "scheduled", window: { open: false } });
    expect((await call("GET", `/updates?vin=${vin}`)).json.items).toEqual([]);
    expect(vehicle.agent.updater.state).toBe("deferred");
    expect(pace.held).toEqual([86_400_000]);
    await call("DELETE", `/vehicles/${vin}/policy`);
    pace.release();
    await becomes(vin, "success");
  });

  it("gives up what was withdrawn meanwhile", async () => {
    const vin = "VMG-406";
    const { vehicle, pace } = await vehicleWith(
      vin,
      { min_battery_soc: 50 },
      {
        config: { vehicle_conditions: conditions({ battery_soc: 20 }) },
      },
    );
    await becomes(vin, "deferred");
    const { update_id } = await latest(vin);
    expect((await call("POST", `/firmware/${firmware}/archive`)).status).toBe(200);
    pace.release();
    await becomes(vin, "cancelled");
    expect((await call("GET", `/updates/${update_id}`)).json.error.code).toBe("FIRMWARE_WITHDRAWN");
    const { outcome } = await vehicle.event("update_finished");
    expect(outcome).toBe("failed");
    expect(vehicle.agent.updater.state).toBe("idle");
  });
});

describe("a command", () => {
  it("tells of the package, and ota_status answers with the last update", async () => {
    const vin = "VMG-407";
    const intervals = { heartbeat_s: 0.2, telemetry_s: 5, check_s: 86_400 };
    const { vehicle } = await vehicleWith(vin, { mode: "manual" }, { config: { intervals } });
    const sent = await give(vin, {
      command: "ota_update",
      params: { ecu_ids: ["ECU_001"] },
      wait_ms: 30_000,
    });
    const { command } = await vehicle.event("command_received");
    const { package_id } = (await latest(vin)) as unknown as { package_id: string };
    expect(command).toMatchObject({
      command: "ota_update",
      action: "ota_update",
      package: package_id,
      version: "1.2.3",
      url: `/api/v1/ota/package/${package_id}`,
      checksum: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      force: false,
    });
    expect(sent.status).toBe("completed");
    const { result } = await give(vin, { command: "ota_status", wait_ms: 30_000 });
    expect(result).toMatchObject({
      action: "ota_status",
      state: "idle",
      update_status: "idle",
      last_update_time: expect.any(String),
      disk_free_gb: expect.any(Number),
      last_update: { status: "completed" },
      versions: { ECU_001: "1.2.3", ECU_004: "1.0.0" },
    });
    const tells = vehicle.event("heartbeat_sent", (event) => "last_update_at" in event.heartbeat);
    const { heartbeat } = await tells;
    expect(heartbeat.last_update_at).toBe(result["last_update_time"]);
  });

  it("is given once by its key, and can be taken back while it is queued", async () => {
    const vin = "VMG-408";
    await (await gateway.vehicle(vin)).send("POST", api("/vehicles/register"), { body: { vin } });
    const body = { command: "REQUEST_VCI", idempotency_key: "k-1" };
    const [first, second] = [await give(vin, body), await give(vin, body)];
    expect(second.command_id).toBe(first.command_id);
    const other = await call("POST", `/vehicles/${vin}/commands`, {
      ...body,
      command: "ota_status",
    });
    expect(other.json.code).toBe("IDEMPOTENCY_KEY_REUSED");
    const cancel = () => call("POST", `/commands/${first.command_id}/cancel`);
    expect((await cancel()).json.status).toBe("cancelled");
    expect((await cancel()).json.code).toBe("COMMAND_NOT_QUEUED");
    const bad = await call("POST", `/vehicles/${vin}/commands`, {
      command: "ota_update",
      params: { ecu_ids: "ECU_001" },
    });
    expect(bad.json).toMatchObject({ status: 422, code: "COMMAND_INVALID" });
  });
});

describe("policies", () => {
  it("of a vehicle go before those of its group, and these by their position", async () => {
    const vin = "VMG-409";
    await (
      await gateway.vehicle(vin)
    ).send("POST", api("/vehicles/register"), { body: { vin, region: "EU" } });
    const group = (name: string, position: number, settings: object) =>
      call("POST", "/policies", { name, position, filter: 'region == "EU"', settings });
    const { json: second } = await group("second", 20, { parked: true });
    await group("first", 10, { min_battery_soc: 30 });
    const effective = async () => (await call("GET", `/vehicles/${vin}/policy`)).json;
    expect(await effective()).toMatchObject({
      source: "group",
      name: "first",
      settings: { min_battery_soc: 30, parked: false, mode: "auto" },
    });
    await call("PUT", `/policies/${second.policy_id}`, {
      name: "second",
      position: 5,
      filter: 'region == "EU"',
      settings: { parked: true },
    });
    expect(await effective()).toMatchObject({ source: "group", name: "second" });
    await call("PUT", `/vehicles/${vin}/policy`, { mode: "manual" });
    expect(await effective()).toMatchObject({ source: "vehicle", settings: { mode: "manual" } });
    await call("DELETE", `/vehicles/${vin}/policy`);
    const { json } = await call("GET", "/policies");
    expect(json.items.map(({ name }: { name: string }) => name)).toEqual(["second", "first"]);
    for (const { policy_id } of json.items) await call("DELETE", `/policies/${policy_id}`);
    expect(await effective()).toMatchObject({ source: "default", policy_id: null });
    expect((await call("DELETE", `/vehicles/${vin}/policy`)).json.code).toBe("POLICY_UNKNOWN");
  });

  it.each([
    ["POLICY_INVALID", { settings: { mode: "scheduled" } }],
    ["POLICY_INVALID", { settings: { windows: [{ days: ["mon"], from: "22:00", to: "23:00" }] } }],
    ["FILTER_INVALID", { filter: "region =" }],
    [
      "REQUEST_INVALID",
      { settings: { mode: "scheduled", windows: [{ days: ["mon"], from: "24:00", to: "25:00" }] } },
    ],
    ["REQUEST_INVALID", { settings: { min_battery_soc: 101 } }],
    ["REQUEST_INVALID", { settings: { min_free_storage: {} } }],
    ["REQUEST_INVALID", { settings: { color: "red" } }],
  ])("with a mistake are refused: %s %j", async (code, change) => {
    const body = { name: "n", position: 1, filter: 'region == "EU"', settings: {}, ...change };
    expect((await call("POST", "/policies", body)).json.code).toBe(code);
  });
});
