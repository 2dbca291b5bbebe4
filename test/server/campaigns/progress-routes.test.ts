import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { CampaignProgress } from "#protocol/api/campaign-progress.ts";
import type { Campaign } from "#protocol/api/campaign.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { connect } from "#test/server/diagnostic-sessions/remote-vehicle.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { registeredCar, type Car } from "./car.ts";

let gateway: TestGateway;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({
    maintenance: { interval_s: 3600 },
    campaigns: { approval: false },
  });
});
afterAll(() => gateway.close());

const get = async (path: string) => (await gateway.admin.send("GET", `/api/v1${path}`)).json;
const post = (path: string, body: object = {}) =>
  gateway.admin.send("POST", `/api/v1${path}`, { body });

const car = () => registeredCar(gateway, `VMG-P${++counter}`);

/** Takes a vehicle to the end of what the campaign has for it. */
async function update(it: Car, version: string, end: "proof" | "rolled_back") {
  const update_id = await it.install();
  const error = { code: "FLASH_FAILED", message: "no answer" };
  if (end === "proof") await it.show(version);
  else await it.report(update_id, end, { ecu_id: "ECU_001", error });
  return update_id;
}

/** A campaign that runs for all of these. */
async function running(cars: Car[], change: object = {}) {
  const version = `${++counter}.0.0`;
  const fields = { availability: "campaign" };
  const { firmware_id } = await publish(gateway.admin, { ecu_type: "brake", version, fields });
  const vins = cars.map(({ vin }) => vin);
  const made = await post("/campaigns", {
    name: "Brakes",
    releases: [firmware_id],
    vins,
    ...change,
  });
  const { campaign_id } = made.json as Campaign;
  for (const action of ["submit", "start"]) await post(`/campaigns/${campaign_id}/${action}`);
  return { campaign_id, version };
}

const progress = async (id: string) => (await get(`/campaigns/${id}/progress`)) as CampaignProgress;

it("shows by its counters how far a campaign has come", async () => {
  const cars = await Promise.all([car(), car(), car()]);
  const waves = [{ share: 100 }];
  const stop_rule = { max_failure_rate: 0.9 };
  const { campaign_id, version } = await running(cars, { waves, stop_rule });
  const [first, second, third] = cars;
  await update(first, version, "proof");
  await update(second, version, "rolled_back");
  await third.ask();
  const figures = { started: 3, succeeded: 1, rolled_back: 1, failed: 0 };
  const rate = { rate: 0.5, lower: expect.closeTo(0.12087, 5), upper: expect.closeTo(0.87913, 5) };
  const shown = await progress(campaign_id);
  expect(shown).toMatchObject({
    campaign_id,
    state: "running",
    total: { ...figures, waiting: 1, updating: 0, failure_rate: rate, success_rate: rate },
    waves: [{ wave: 0, ...figures, waiting: 1 }],
    groups: [{ ecu_type: "brake", hardware_version: "HW-1.0", ...figures }],
    next_wave: null,
    stop_rule: {
      stop: false,
      findings: [
        { scope: "whole", failed: 1, finished: 2, threshold: 0.9 },
        { scope: { ecu_type: "brake" }, failed: 1, finished: 2 },
      ],
    },
    retrying: false,
    reverting: false,
  });
  expect(shown.waves[0]?.opened_at).not.toBeNull();
  expect(problemOf(await gateway.admin.send("GET", `/api/v1/campaigns/${nobody}/progress`))).toBe(
    "CAMPAIGN_UNKNOWN",
  );
});

const nobody = "00000000-0000-7000-8000-000000000000";

it("stops by itself, gives nobody anything further, and lets the failed try again before", async () => {
  const cars = await Promise.all([car(), car(), car()]);
  const stop_rule = { max_failure_rate: 0.2, confidence: 0.8, min_sample: 3 };
  const { campaign_id, version } = await running(cars, { stop_rule });
  const [first, second, third] = cars;
  await update(first, version, "rolled_back");
  expect((await first.ask()).status).toBe(409);
  expect((await post(`/campaigns/${campaign_id}/retry`)).status).toBe(202);
  expect(await progress(campaign_id)).toMatchObject({ total: { waiting: 1, rolled_back: 0 } });
  await update(first, version, "rolled_back");
  await update(second, version, "rolled_back");
  await update(third, version, "rolled_back");
  await vi.waitFor(
    async () =>
      expect(await get(`/campaigns/${campaign_id}`)).toMatchObject({
        state: "stopped",
        state_reason: { code: "CAMPAIGN_STOP_RULE", finding: { failed: 3, finished: 3 } },
      }),
    { timeout: 20_000 },
  );
  expect(problemOf(await post(`/campaigns/${campaign_id}/retry`))).toBe("CAMPAIGN_STATE");
  const { items } = (await get(`/campaigns/${campaign_id}/vehicles`)) as {
    items: { vin: string; attempts: number; status: string }[];
  };
  expect(items.find(({ vin }) => vin === first.vin)).toMatchObject({
    attempts: 2,
    status: "rolled_back",
  });
});

it("takes DTCs that are new after an update for a failure, though all else is well", async () => {
  const one = await car();
  const { campaign_id, version } = await running([one], { new_dtcs: "count" });
  const vehicle = await connect(gateway, one.vin);
  const update_id = await update(one, version, "proof");
  expect(await progress(campaign_id)).toMatchObject({ total: { succeeded: 1 } });
  const scan = { kind: "scan", update_id } as const;
  const ecus = (dtcs: string) => [{ ecu_id: "ECU_001", dids: {}, dtcs }];
  await vehicle.say({ ...scan, phase: "after_update", ecus: ecus("5902FF05621609") });
  await vehicle.say({ ...scan, phase: "before_update", ecus: ecus("5902FF") });
  expect(await progress(campaign_id)).toMatchObject({
    total: { succeeded: 0, failed: 1, new_dtcs: 1 },
  });
});

it("takes back what succeeded, once the vehicle shows it", async () => {
  const one = await car();
  const { campaign_id, version } = await running([one]);
  await update(one, version, "proof");
  const rollback = () => post(`/campaigns/${campaign_id}/rollback`, { comment: "brakes squeal" });
  expect(problemOf(await rollback())).toBe("CAMPAIGN_STATE");
  await post(`/campaigns/${campaign_id}/pause`);
  const client = await gateway.mqtt(one.vin);
  const told = new Promise<Record<string, unknown>>((done) => {
    client.on("message", (_, payload) => done(JSON.parse(payload.toString())));
  });
  await client.subscribeAsync(`vehicle/${one.vin}/control`, { qos: 1 });
  expect((await rollback()).status).toBe(202);
  expect(await told).toMatchObject({
    command: "ota_rollback",
    params: { ecu_ids: ["ECU_001"] },
  });
  expect(await progress(campaign_id)).toMatchObject({
    reverting: false,
    total: { succeeded: 1, reverted: 0 },
  });
  await one.show("1.0.0");
  expect(await progress(campaign_id)).toMatchObject({ total: { succeeded: 0, reverted: 1 } });
});
