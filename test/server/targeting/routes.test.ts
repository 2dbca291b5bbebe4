import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { problemOf } from "#test/server/problem-of.ts";

let gateway: TestGateway;
const cars = new Map<string, Caller>();
let admin: Caller;
const register = "/api/v1/vehicles/register";
const vehicles = "/api/v1/vehicles";

beforeAll(async () => {
  gateway = await startGateway();
  ({ admin } = gateway);
  for (const [vin, model] of [
    ["VMG-001", "One"],
    ["VMG-002", "One"],
    ["VMG-003", "Two"],
  ] as const) {
    const vehicle = await gateway.vehicle(vin);
    cars.set(vin, vehicle);
    const body = { vin, model, time_zone: "Europe/Berlin" };
    await vehicle.send("POST", register, { body });
    const vci = sampleVci({ ECU_001: vin === "VMG-003" ? "2.0.0" : "1.0.0" });
    await vehicle.send("POST", `${vehicles}/${vin}/vci`, { body: vci });
  }
});
afterAll(() => gateway.close());

function car(vin: string): Caller {
  const vehicle = cars.get(vin);
  if (vehicle === undefined) throw new Error(`${vin} is not there`);
  return vehicle;
}

async function listed(query: Record<string, string>): Promise<string[]> {
  const { status, json } = await admin.send(
    "GET",
    `${vehicles}?${new URLSearchParams(query).toString()}`,
  );
  expect(status).toBe(200);
  return (json.items as { vin: string }[]).map(({ vin }) => vin);
}

const change = (vin: string, body: object) => admin.send("PATCH", `${vehicles}/${vin}`, { body });

describe("a vehicle", () => {
  it("has tags and a time zone", async () => {
    expect((await change("VMG-001", { tags: ["taxi", "pilot"] })).json).toMatchObject({
      tags: ["pilot", "taxi"],
      time_zone: "Europe/Berlin",
    });
    expect((await change("VMG-001", { time_zone: null })).json["time_zone"]).toBeNull();
    const body = { vin: "VMG-003", time_zone: "Asia/Seoul" };
    expect((await car("VMG-003").send("POST", register, { body })).json).toMatchObject({
      model: "Two",
      time_zone: "Asia/Seoul",
    });
  });

  it("is shown with what it said of itself last", async () => {
    const vin = "VMG-001";
    await car(vin).send("POST", register, { body: { vin, vmg_version: "3.1.0" } });
    const show = async () => (await admin.send("GET", `${vehicles}/${vin}`)).json;
    expect(await show()).toMatchObject({ vmg_version: "3.1.0", heartbeat: null });
    const client = await gateway.mqtt(vin);
    const ts = new Date().toISOString();
    const heartbeat = { ts, state: "idle", versions: { ECU_001: "1.0.0" }, free_storage_bytes: 5 };
    await client.publishAsync(`vehicle/${vin}/heartbeat`, JSON.stringify(heartbeat), { qos: 1 });
    expect(await show()).toMatchObject({ vin, heartbeat });
  });

  it("is in no time zone that there is not", async () => {
    const body = { vin: "VMG-003", time_zone: "Europe/Nowhere" };
    expect(problemOf(await car("VMG-003").send("POST", register, { body }))).toBe(
      "TIME_ZONE_UNKNOWN",
    );
    expect(problemOf(await change("VMG-001", { time_zone: "Mars/Base" }))).toBe(
      "TIME_ZONE_UNKNOWN",
    );
    expect(problemOf(await change("VMG-001", { time_zone: "+01:00" }))).toBe("REQUEST_INVALID");
  });
});

describe("the list of vehicles", () => {
  it("is narrowed by what is asked", async () => {
    await change("VMG-002", { channel: "beta", region: "EU", tags: ["pilot"] });
    expect(await listed({})).toEqual(["VMG-001", "VMG-002", "VMG-003"]);
    expect(await listed({ model: "One" })).toEqual(["VMG-001", "VMG-002"]);
    expect(await listed({ channel: "beta" })).toEqual(["VMG-002"]);
    expect(await listed({ region: "EU", tag: "pilot" })).toEqual(["VMG-002"]);
    expect(await listed({ tag: "test" })).toEqual([]);
    expect(await listed({ profile: "12" })).toEqual([]);
    expect(await listed({ filter: 'ecu("brake").version < 2.0.0' })).toEqual([
      "VMG-001",
      "VMG-002",
    ]);
    expect(await listed({ filter: "channel == beta", model: "Two" })).toEqual([]);
  });

  it("says where a filter is mistaken", async () => {
    const answer = await admin.send(
      "GET",
      `${vehicles}?filter=${encodeURIComponent("modle == 1")}`,
    );
    expect(problemOf(answer)).toBe("FILTER_INVALID");
    expect(answer.json).toMatchObject({ position: { offset: 0, line: 1, column: 1 } });
  });
});

describe("a preview", () => {
  it("counts by model, region and channel, and names some", async () => {
    const body = { filter: '  ecu("brake")  and model=="One"', percentage: 50 };
    const { status, json } = await admin.send("POST", `${vehicles}/preview`, { body });
    expect([status, json]).toEqual([
      200,
      {
        filter: 'ecu("brake") and model == "One"',
        matched: 2,
        selected: 1,
        by_model: [{ value: "One", count: 2 }],
        by_region: [
          { value: null, count: 1 },
          { value: "EU", count: 1 },
        ],
        by_channel: [
          { value: "beta", count: 1 },
          { value: "stable", count: 1 },
        ],
        sample: ["VMG-001", "VMG-002"],
      },
    ]);
  });
});

describe("the fleet in numbers", () => {
  const numbers = async (query = "") =>
    (await admin.send("GET", `/api/v1/stats/vehicles${query}`)).json;

  it("is what its vehicles are, and what their ECUs run", async () => {
    const all = await numbers();
    expect(all).toMatchObject({
      vehicles: 3,
      by_channel: [
        { channel: "beta", vehicles: 1 },
        { channel: "stable", vehicles: 2 },
      ],
      versions: [
        { ecu_type: "brake", software_version: "1.0.0", ecus: 2 },
        { ecu_type: "brake", software_version: "2.0.0", ecus: 1 },
        { ecu_type: "lights", software_version: "1.0.0", ecus: 3 },
        { ecu_type: "steering", software_version: "1.0.0", ecus: 3 },
      ],
    });
    // Which ones they are, and by which profile, is noted as time goes by.
    for (const counts of [all.by_status, all.by_profile] as { vehicles: number }[][]) {
      expect(counts.reduce((sum, each) => sum + each.vehicles, 0)).toBe(3);
    }
    expect((await numbers("?ecu_type=lights")).versions).toEqual([
      { ecu_type: "lights", software_version: "1.0.0", ecus: 3 },
    ]);
    expect((await numbers("?ecu_type=none")).versions).toEqual([]);
  });
});

describe("tags of many vehicles", () => {
  const tag = (body: object) => admin.send("POST", `${vehicles}/tags`, { body });

  it("are added and taken off by a filter, by name, or both", async () => {
    const both = { filter: 'model == "One"', vins: ["VMG-002", "VMG-003"], add: ["wave-1"] };
    expect((await tag(both)).json).toEqual({ matched: 1, changed: 1, full: 0 });
    expect(await listed({ tag: "wave-1" })).toEqual(["VMG-002"]);
    const all = { filter: "all", add: ["a"], remove: ["wave-1", "pilot", "taxi"] };
    expect((await tag(all)).json).toEqual({ matched: 3, changed: 3, full: 0 });
    expect((await tag(all)).json).toEqual({ matched: 3, changed: 0, full: 0 });
    expect((await admin.send("GET", `${vehicles}/VMG-002`)).json["tags"]).toEqual(["a"]);
  });

  it("are refused without saying whose, and are no more than there can be", async () => {
    expect(problemOf(await tag({ add: ["a"] }))).toBe("TAGS_TARGET_MISSING");
    expect(problemOf(await tag({ filter: "all", add: ["no blanks"] }))).toBe("REQUEST_INVALID");
    const many = Array.from({ length: 50 }, (_, i) => `many-${i}`);
    expect((await tag({ vins: ["VMG-001"], add: many })).json).toEqual({
      matched: 1,
      changed: 0,
      full: 1,
    });
  });
});

describe("what would become of vehicles", () => {
  it("is told for a campaign, and for one vehicle and firmware", async () => {
    const fields = { availability: "campaign" };
    const { firmware_id } = await publish(admin, { ecu_type: "lights", version: "3.0.0", fields });
    const content = { name: "Lights", releases: [firmware_id], filter: 'model == "One"' };
    const dryRun = await admin.send("POST", "/api/v1/campaigns/dry-run", { body: content });
    expect([dryRun.status, dryRun.json]).toMatchObject([
      200,
      { matched: 2, members: 2, planned: { vehicles: 2 }, releases: [{ problem: null }] },
    ]);
    const made = await admin.send("POST", "/api/v1/campaigns", { body: content });
    const { campaign_id } = made.json as { campaign_id: string };
    const stored = await admin.send("POST", `/api/v1/campaigns/${campaign_id}/dry-run`, {});
    expect(stored.json).toEqual(dryRun.json);
    const query = "ecu_type=lights&version=3.0.0";
    const explained = await admin.send("GET", `${vehicles}/VMG-003/explain?${query}`);
    expect([explained.status, explained.json]).toMatchObject([
      200,
      {
        firmware: { firmware_id },
        verdict: "not_offered",
        campaigns: [{ campaign_id, state: "draft", unmatched: ['model == "One"'] }],
      },
    ]);
  });
});

describe("the plan for a vehicle", () => {
  it("is what the vehicle itself is told", async () => {
    const vin = "VMG-001";
    await publish(admin, { ecu_type: "steering", version: "1.1.0" });
    const plan = (await admin.send("GET", `${vehicles}/${vin}/plan`)).json;
    expect(plan).toMatchObject({
      outdated_ecus: [{ ecu_id: "ECU_002", current_version: "1.0.0", target_version: "1.1.0" }],
      blocked: expect.arrayContaining([
        expect.objectContaining({ ecu_id: "ECU_003", reason: "CAMPAIGN_ONLY" }),
      ]),
      policy: { mode: "auto" },
    });
    expect((await car(vin).send("POST", "/api/v1/ota/check", { body: { vin } })).json).toEqual(
      plan,
    );
  });

  it("is none of one that is not there, or has not said what it consists of", async () => {
    const plan = (vin: string) => admin.send("GET", `${vehicles}/${vin}/plan`);
    expect(problemOf(await plan("VMG-404"))).toBe("VEHICLE_UNKNOWN");
    const vin = "VMG-NEW";
    await (await gateway.vehicle(vin)).send("POST", register, { body: { vin } });
    expect(problemOf(await plan(vin))).toBe("VCI_MISSING");
  });
});

describe("a vehicle that leaves", () => {
  it("is gone, and what was done to it stays", async () => {
    await publish(admin, { ecu_type: "brake", version: "1.5.0" });
    const answer = await car("VMG-002").send("POST", "/api/v1/ota/package", {
      body: { vin: "VMG-002" },
    });
    expect(answer.status).toBe(200);
    const { update_id } = answer.json as { update_id: string };
    expect((await admin.send("DELETE", `${vehicles}/VMG-002`)).status).toBe(204);
    expect(problemOf(await admin.send("GET", `${vehicles}/VMG-002`))).toBe("VEHICLE_UNKNOWN");
    const update = await admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(update.json).toMatchObject({ vin: "VMG-002", status: "cancelled" });
    expect(problemOf(await admin.send("DELETE", `${vehicles}/VMG-002`))).toBe("VEHICLE_UNKNOWN");
    const body = { vin: "VMG-002" };
    expect((await car("VMG-002").send("POST", register, { body })).status).toBe(201);
  });
});
