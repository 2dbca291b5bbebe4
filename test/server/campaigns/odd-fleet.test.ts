import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { serverCa } from "#crypto/pki.ts";
import type { CampaignProgress } from "#protocol/api/campaign-progress.ts";
import type { Campaign, CampaignVehicle } from "#protocol/api/campaign.ts";
import type { Explanation } from "#protocol/api/explain.ts";
import type { PackageAnswer } from "#protocol/api/ota.ts";
import { startApp } from "#server/app.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { silentLog } from "#test/server/own-database.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { registeredCar, type Car } from "./car.ts";

const MINUTE = 60_000;
let gateway: TestGateway;
let count = 0;
/** Whatever became of its vehicles, its counters are their number. */
const campaigns: string[] = [];

beforeAll(async () => {
  gateway = await startGateway({
    maintenance: { interval_s: 0.05 },
    campaigns: { approval: false },
  });
});
afterEach(async () => {
  vi.useRealTimers();
  for (const id of campaigns.splice(0)) await expectSum(id);
  expectNoErrors();
});
afterAll(() => gateway.close());

const get = async (path: string) => (await gateway.admin.send("GET", `/api/v1${path}`)).json;
const post = (path: string, body: object = {}) =>
  gateway.admin.send("POST", `/api/v1${path}`, { body });
const act = (id: string, action: string) => post(`/campaigns/${id}/${action}`);
const remove = (vin: string) => gateway.admin.send("DELETE", `/api/v1/vehicles/${vin}`);

const car = () => registeredCar(gateway, `VMG-ODD${++count}`);

async function release(fields: Record<string, string> = {}, ecu_type = "brake") {
  const version = `${++count}.0.0`;
  const upload = { ecu_type, version, fields: { availability: "campaign", ...fields } };
  const { firmware_id } = await publish(gateway.admin, upload);
  return { firmware_id, version };
}

async function running(
  cars: readonly Car[],
  releases: readonly { firmware_id: string }[],
  change: object = {},
): Promise<string> {
  const made = await post("/campaigns", {
    name: "Brakes",
    releases: releases.map(({ firmware_id }) => firmware_id),
    vins: cars.map(({ vin }) => vin),
    ...change,
  });
  const { campaign_id } = made.json as Campaign;
  campaigns.push(campaign_id);
  await act(campaign_id, "submit");
  expect((await act(campaign_id, "start")).json).toMatchObject({ state: "running" });
  return campaign_id;
}

const stateOf = async (id: string) => (await get(`/campaigns/${id}`)) as Campaign;
const vehiclesOf = async (id: string) =>
  ((await get(`/campaigns/${id}/vehicles?limit=200`)) as { items: CampaignVehicle[] }).items;
const standing = async (id: string, { vin }: Car) =>
  (await vehiclesOf(id)).find((each) => each.vin === vin);
async function becomes(id: string, one: Car, status: string): Promise<void> {
  const now = async () => (await standing(id, one))?.status;
  await expect.poll(now, { timeout: 10_000 }).toBe(status);
}

async function expectSum(id: string): Promise<void> {
  const vehicles = await vehiclesOf(id);
  const { total, waves, groups } = (await get(`/campaigns/${id}/progress`)) as CampaignProgress;
  const number = (...of: string[]) => vehicles.filter(({ status }) => of.includes(status)).length;
  const sum = {
    started: vehicles.length,
    waiting: number("waiting"),
    updating: number("updating"),
    soaking: number("soaking"),
    succeeded: number("succeeded", "reverting"),
    failed: number("failed"),
    rolled_back: number("rolled_back"),
    reverted: number("reverted"),
  };
  expect(total).toMatchObject(sum);
  expect(waves.reduce((all, { started }) => all + started, 0)).toBe(vehicles.length);
  for (const { started, failed } of groups) {
    expect(started).toBeLessThanOrEqual(sum.started);
    expect(failed).toBeLessThanOrEqual(sum.failed);
  }
}

function expectNoErrors(): void {
  expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
}

/** The gateway's clock, not the database's, is ahead by so much, or behind. */
const jump = (ms: number) => vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });

describe("a vehicle that leaves", () => {
  it("takes what it was given with it, and gets it again when it comes back", async () => {
    const one = await car();
    const { version, ...brought } = await release();
    const id = await running([one], [brought]);
    const { update_id, download_url } = await one.take();
    await one.report(update_id, "downloading");
    const client = await gateway.mqtt(one.vin);
    expect((await remove(one.vin)).status).toBe(204);
    const ecus = [{ ecu_id: "ECU_001", dids: {}, dtcs: "5902FF" }];
    const scan = { kind: "scan", update_id, phase: "before_update", ecus };
    const said = JSON.stringify({ ts: new Date().toISOString(), ...scan });
    await client.publishAsync(`vehicle/${one.vin}/diagnostics/events`, said, { qos: 1 });
    expect(await standing(id, one)).toMatchObject({ status: "waiting" });
    expect(problemOf(await one.get(download_url))).toBe("PACKAGE_NOT_ASSIGNED");
    expect((await one.report(update_id, "installing")).status).toBe(204);
    expect(problemOf(await one.show(version))).toBe("VEHICLE_NOT_REGISTERED");

    expect((await one.register()).status).toBe(201);
    await one.show("1.0.0");
    await one.install();
    expect(problemOf(await remove(one.vin))).toBe("UPDATE_TRANSITION_REFUSED");
    await one.show(version);
    expect(await standing(id, one)).toMatchObject({ status: "succeeded", attempts: 2 });
  });

  it("keeps nobody else from going back", async () => {
    const [gone, leaving, staying] = [await car(), await car(), await car()];
    const brought = await release();
    const id = await running([gone, leaving, staying], [brought]);
    for (const each of [gone, leaving, staying]) {
      await each.install();
      await each.show(brought.version);
    }
    await remove(gone.vin);
    await act(id, "pause");
    expect((await act(id, "rollback")).status).toBe(202);
    await becomes(id, staying, "reverting");
    await remove(leaving.vin);
    await staying.show("1.0.0");
    await becomes(id, staying, "reverted");
    await becomes(id, leaving, "succeeded");
    // Nobody is waited for without end.
    await act(id, "finish");
    await expect.poll(async () => (await stateOf(id)).state).toBe("finished");
    const code = "CAMPAIGN_ROLLBACK_FAILED";
    for (const each of [gone, leaving]) {
      expect(await standing(id, each)).toMatchObject({ reason: { code } });
    }
  });
});

describe("a vehicle that is changed", () => {
  it("to hardware that only the later campaign is for gets that one's release", async () => {
    const one = await car();
    const first = await release();
    const later = await release({ hardware_versions: "HW-9.0" });
    const earlier = await running([one], [first]);
    const id = await running([one], [later]);
    await one.take();
    await one.show("1.0.0", "HW-9.0");
    await one.install();
    await one.show(later.version, "HW-9.0");
    expect(await standing(id, one)).toMatchObject({ status: "succeeded" });
    expect(await standing(earlier, one)).toMatchObject({ status: "waiting" });
  });

  it("to versions that nobody published counts by what it shows", async () => {
    const one = await car();
    const brought = await release();
    const id = await running([one], [brought]);
    const update_id = await one.install();
    await one.show("0.0.7");
    expect(await standing(id, one)).toMatchObject({ status: "updating" });
    await one.report(update_id, "completed");
    await one.show("0.0.7-rc.1+7");
    expect(await standing(id, one)).toMatchObject({
      status: "failed",
      reason: { code: "UPDATE_CONTRADICTED" },
    });
    await act(id, "retry");
    await one.install();
    await one.show(brought.version);
    for (const [version, status] of [
      ["999.0.0", "succeeded"],
      ["0.0.9", "waiting"],
      [brought.version, "succeeded"],
      // What it has run before.
      ["1.0.0", "rolled_back"],
    ] as const) {
      await one.show(version);
      expect([version, (await standing(id, one))?.status]).toEqual([version, status]);
      await expectSum(id);
    }
  });
});

describe("a vehicle that reports oddly", () => {
  it("is believed only in order, of its own update, and with a time of this century", async () => {
    const [one, other] = [await car(), await car()];
    const brought = await release();
    const id = await running([one, other], [brought]);
    const { update_id } = await one.take();
    expect(problemOf(await other.report(update_id, "rolled_back"))).toBe("UPDATE_UNKNOWN");
    const stopped = { ts: "1970-01-01T00:00:00Z" };
    expect(problemOf(await one.report(update_id, "downloading", stopped))).toBe("REQUEST_INVALID");
    for (const ts of ["2026-02-30T10:00:00Z", "2099-12-31T23:59:59+14:00"]) {
      expect((await one.report(update_id, "downloading", { ts })).status).toBe(204);
    }
    const client = await gateway.mqtt(one.vin);
    for (const status of ["completed", "completed", "installing", "deferred", "downloading"]) {
      const report = { update_id, status, progress: 1, ts: new Date().toISOString() };
      const payload = JSON.stringify(report);
      await client.publishAsync(`vehicle/${one.vin}/ota/status`, payload, { qos: 1 });
    }
    expect(await standing(id, one)).toMatchObject({ status: "updating" });
    await one.show(brought.version);
    expect(await standing(id, one)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect((await one.report(update_id, "failed")).status).toBe(204);
    expect(await standing(id, one)).toMatchObject({ status: "succeeded" });
  });

  it("too late goes on with the next step, and with none before that", async () => {
    const one = await car();
    const first = await release();
    const second = await release({ min_current_version: first.version });
    const id = await running([one], [first, second]);
    const update_id = await one.install();
    await one.report(update_id, "completed");
    expect((await one.take()).update_id).toBe(update_id);
    jump(31 * MINUTE);
    await becomes(id, one, "failed");
    vi.useRealTimers();
    expect(await standing(id, one)).toMatchObject({ reason: { code: "UPDATE_DEADLINE" } });
    expect(problemOf(await one.ask())).toBe("PACKAGE_NOTHING_OUTDATED");
    await one.show(first.version);
    await expectSum(id);
    const { zones } = await one.take();
    expect(zones[0]?.ecus).toMatchObject([{ target_version: second.version }]);
    await one.install();
    await one.show(second.version);
    expect(await standing(id, one)).toMatchObject({ status: "succeeded", attempts: 2 });
  });
});

describe("two campaigns for the same ECU", () => {
  it("go one after the other, and the later one says what it waits for", async () => {
    const one = await car();
    const [first, later] = [await release(), await release()];
    const earlier = await running([one], [first]);
    const id = await running([one], [later], { name: "Brakes again" });
    const explained = async () =>
      (await get(`/vehicles/${one.vin}/explain?firmware_id=${later.firmware_id}`)) as Explanation;
    const { verdict, campaigns: reasons } = await explained();
    expect([verdict, reasons]).toMatchObject([
      "not_offered",
      [{ campaign_id: id, reasons: [{ code: "CAMPAIGN_WAITS" }] }],
    ]);
    expect(reasons[0]?.reasons[0]?.detail).toContain(earlier);
    await one.install();
    await one.show(first.version);
    expect(await standing(earlier, one)).toMatchObject({ status: "succeeded" });
    expect(await explained()).toMatchObject({ verdict: "offered", campaigns: [{ offers: true }] });
    await one.install();
    await one.show(later.version);
    expect(await standing(id, one)).toMatchObject({ status: "succeeded" });
  });
});

describe("what a campaign brings", () => {
  it("is not downloaded further, nor installed, once it is archived", async () => {
    const one = await car();
    const { firmware_id } = await release();
    const id = await running([one], [{ firmware_id }]);
    const { update_id, download_url } = await one.take();
    await one.report(update_id, "downloading");
    expect((await one.get(download_url, { range: "bytes=0-999" })).status).toBe(206);
    await post(`/firmware/${firmware_id}/archive`);
    expect(problemOf(await one.get(download_url, { range: "bytes=1000-" }))).toBe(
      "PACKAGE_WITHDRAWN",
    );
    const { ready, reasons } = await one.ready(update_id);
    expect([ready, reasons[0]]).toMatchObject([false, { code: "FIRMWARE_WITHDRAWN" }]);
    expect(await standing(id, one)).toMatchObject({ status: "waiting" });
    expect(problemOf(await act(id, "resume"))).toBe("CAMPAIGN_RELEASE_UNAVAILABLE");
  });

  it("takes the one that it requires with it, also out of a package on its way", async () => {
    const one = await car();
    const lights = await release({ availability: "channel" }, "lights");
    const requires = JSON.stringify([{ ecu_type: "lights", min_version: lights.version }]);
    const brought = await release({ requires });
    const id = await running([one], [brought]);
    const { update_id, download_url, zones } = await one.take();
    expect(zones).toHaveLength(2);
    await one.report(update_id, "downloading");
    await post(`/firmware/${lights.firmware_id}/archive`);
    expect(await stateOf(id)).toMatchObject({
      state: "paused",
      state_reason: { code: "CAMPAIGN_REQUIREMENT_WITHDRAWN" },
    });
    expect(problemOf(await one.get(download_url))).toBe("PACKAGE_WITHDRAWN");
    expect((await one.ready(update_id)).ready).toBe(false);
    expect(problemOf(await one.ask())).toBe("PACKAGE_NOTHING_OUTDATED");
    expect(problemOf(await act(id, "resume"))).toBe("CAMPAIGN_RELEASE_UNAVAILABLE");
  });
});

it("opens waves and ends soaking by a clock that jumps, undoing nothing when it goes back", async () => {
  const [one, other] = [await car(), await car()];
  const brought = await release();
  const waves = [{ share: 50 }, { share: 50, gate: { after_min: 10 } }];
  const id = await running([one, other], [brought], { soak_min: 60, waves });
  const opened = async () => (await stateOf(id)).waves_opened.length;
  jump(11 * MINUTE);
  await expect.poll(opened).toBe(2);
  vi.useRealTimers();
  for (const each of [one, other]) {
    await each.install();
    await each.show(brought.version);
  }
  await other.show("1.0.0");
  jump(61 * MINUTE);
  await becomes(id, one, "succeeded");
  vi.useRealTimers();
  expect(await standing(id, other)).toMatchObject({ status: "rolled_back" });
  expect([await opened(), (await stateOf(id)).state]).toEqual([2, "running"]);
});

/** Asks for packages and installs them, well or badly, with everything that ends it at once. */
async function drive(one: Car, isBad: boolean, version: string): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const { status, json } = await one.ask();
    if (status !== 200) continue;
    const { update_id } = json as PackageAnswer;
    await one.report(update_id, "downloading");
    if (!(await one.ready(update_id)).ready) continue;
    await Promise.all([
      one.report(update_id, "installing"),
      one.report(update_id, isBad ? "rolled_back" : "completed"),
      one.show(isBad ? "1.0.0" : version),
      one.report(update_id, "failed"),
    ]);
  }
}

describe("check-ins, reports and an operator's actions at once", () => {
  const many = () => Promise.all(Array.from({ length: 12 }, () => car()));

  it("leave counters that are right, and nobody whom a stopped campaign gives anything", async () => {
    const cars = await many();
    const brought = await release();
    const id = await running(cars, [brought]);
    const operate = async () => {
      for (const action of ["pause", "resume", "retry", "pause", "resume", "retry"]) {
        expect((await act(id, action)).status).toBeLessThan(300);
      }
    };
    const driven = cars.map((one, index) => drive(one, index % 3 === 0, brought.version));
    await Promise.all([...driven, operate()]);
    await expectSum(id);
    expect((await act(id, "stop")).json).toMatchObject({ state: "stopped" });
    for (const one of cars) expect(problemOf(await one.ask())).toBe("PACKAGE_NOTHING_OUTDATED");
  });

  // An embedded database has one gateway.
  it.runIf(process.env["TEST_DATABASE"] === "postgresql")(
    "are told by another gateway, too, and what it stops is not installed here any more",
    async () => {
      const { config } = gateway;
      const data_dir = join(config.data_dir, "other");
      const other = await startApp({ ...config, data_dir }, silentLog);
      const ca = await serverCa(config.certs_dir);
      const dispatcher = new Agent({ connect: { ca } });
      onTestFinished(async () => {
        await dispatcher.close();
        await other.close();
      });
      const authorization = `Bearer ${readFileSync(other.tokenFile, "utf8").trim()}`;
      const actThere = async (id: string, action: string) => {
        const url = `https://localhost:${other.ports.https}/api/v1/campaigns/${id}/${action}`;
        const headers = { authorization, "content-type": "application/json" };
        const answer = await request(url, { dispatcher, method: "POST", headers, body: "{}" });
        return (await answer.body.json()) as Campaign;
      };
      const [last, ...cars] = [await car(), ...(await many())];
      const brought = await release();
      const id = await running([last, ...cars], [brought]);
      const { update_id } = await last.take();
      const both = async () => {
        for (const action of ["pause", "resume", "retry", "pause", "resume", "retry"]) {
          await Promise.all([act(id, action), actThere(id, action)]);
        }
      };
      const driven = cars.map((one, index) => drive(one, index % 3 === 0, brought.version));
      await Promise.all([...driven, both()]);
      await expectSum(id);
      expect(await actThere(id, "stop")).toMatchObject({ state: "stopped" });
      expect(await last.ready(update_id)).toMatchObject({
        ready: false,
        reasons: [{ code: "CAMPAIGN_NOT_RUNNING" }],
      });
    },
  );
});
