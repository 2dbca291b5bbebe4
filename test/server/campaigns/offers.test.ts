import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openCampaignBook, type CampaignBook } from "#server/campaigns/book.ts";
import { haltWithdrawn, keepCourse } from "#server/campaigns/course.ts";
import { countMembers } from "#server/campaigns/members.ts";
import { createOffers, type CampaignOffers } from "#server/campaigns/offers.ts";
import { campaignById, changeCampaign } from "#server/campaigns/queries.ts";
import { openReleaseBook, type ReleaseBook } from "#server/firmware/release-book.ts";
import { share } from "#server/targeting/membership.ts";
import { targetVehicle } from "#server/targeting/vehicles.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import {
  ecusAt,
  insertFirmware,
  insertRunning,
  insertVehicles,
  showEcus,
  type Brought,
} from "./campaign-data.ts";

const at = (time: string) => new Date(`2026-05-04T${time}:00Z`);
const nine = at("09:00");
let own: OwnDatabase;
let vins: string[];
let vin: string;
let book: CampaignBook;
let releases: ReleaseBook;
let offers: CampaignOffers;
let brake: Brought;
let lights: Brought;

beforeAll(async () => {
  own = await ownDatabase();
  vins = await insertVehicles(own.db, 40);
  vin = vins[0] ?? "";
  for (const each of vins) await showEcus(own.db, each, ecusAt());
  const deps = { db: own.db, everyMs: undefined, log: silentLog };
  book = await openCampaignBook(deps);
  releases = await openReleaseBook(deps);
  offers = createOffers({ campaigns: book, releases, log: silentLog });
});
afterAll(async () => {
  book.stop();
  releases.stop();
  await own.remove();
});

let version = 1;
beforeEach(async () => {
  await sql`update campaign set state = 'stopped', changed_at = clock_timestamp()`.execute(own.db);
  await sql`update firmware set status = 'archived'`.execute(own.db);
  brake = await published("brake");
  lights = await published("lights");
});

async function published(ecu_type: string): Promise<Brought> {
  const firmware = await insertFirmware(own.db, { ecu_type, version: `2.${version++}.0` });
  await own.db
    .updateTable("firmware")
    .set({ published_at: nine })
    .where("firmware_id", "=", firmware.firmware_id)
    .execute();
  return firmware;
}

const running = (brought: Brought[], change: Parameters<typeof insertRunning>[2] = {}) =>
  insertRunning(own.db, brought, { started_at: nine, waves_opened: [nine], ...change });

async function archive({ firmware_id }: Brought): Promise<void> {
  await own.db
    .updateTable("firmware")
    .set({ status: "archived", archived_at: at("12:00") })
    .where("firmware_id", "=", firmware_id)
    .execute();
}

/** The vehicle as a check-in reads it: with its place in the campaigns. */
async function checkIn(who = vin) {
  await book.refresh();
  await releases.refresh();
  const vehicle = await targetVehicle(own.db, who);
  if (vehicle === undefined) throw new Error(`there is no ${who}`);
  const { rows } = await sql<{ state: unknown }>`
    select ${offers.state} as state from vehicle where vin = ${who}
  `.execute(own.db);
  return { vehicle, state: rows[0]?.state };
}

async function offered(who = vin): Promise<string[]> {
  const { vehicle, state } = await checkIn(who);
  return offers.offers(vehicle, state, nine).map(({ campaign_id }) => campaign_id);
}

async function reasons(campaignId: string, who = vin): Promise<string[]> {
  const { vehicle, state } = await checkIn(who);
  return offers.whyNot(vehicle, state, await stored(campaignId)).map(({ code }) => code);
}

async function stored(campaignId: string) {
  const campaign = await campaignById(own.db, campaignId);
  if (campaign === undefined) throw new Error(`there is no ${campaignId}`);
  return campaign;
}

const change = (campaignId: string, to: Parameters<typeof changeCampaign>[2]) =>
  own.db.transaction().execute((tx) => changeCampaign(tx, campaignId, to));

const mayGoOn = (campaign_id: string | null) =>
  own.db.transaction().execute((tx) => offers.mayGoOn(tx, { campaign_id }));

async function takesPart(
  campaign_id: string,
  status: "waiting" | "updating" | "soaking" | "succeeded" | "failed",
  who = vin,
): Promise<void> {
  await own.db
    .insertInto("campaign_vehicle")
    .values({ campaign_id, vin: who, wave: 0, status, update_id: null })
    .onConflict((conflict) => conflict.columns(["campaign_id", "vin"]).doUpdateSet({ status }))
    .execute();
}

describe("what a campaign has for a vehicle", () => {
  it("are its releases, in the vehicle's wave", async () => {
    const id = await running([brake], { deadline_min: 45 });
    const { vehicle, state } = await checkIn();
    expect(offers.offers(vehicle, state, nine)).toEqual([
      { campaign_id: id, wave: 0, releases: [brake.firmware_id], deadline_min: 45 },
    ]);
    expect(await reasons(id)).toEqual([]);
  });

  it("is nothing where it is not for the vehicle, and each reason is told", async () => {
    const id = await running([brake], {
      filter: 'model == "Z9"',
      vins: ["VIN-OTHER"],
      dynamic: false,
      started_at: new Date("2020-01-01T00:00:00Z"),
      min_profile: 4,
    });
    expect(await offered()).toEqual([]);
    const targeted = "CAMPAIGN_NOT_TARGETED";
    expect(await reasons(id)).toEqual([targeted, targeted, targeted, "CAMPAIGN_PROFILE_TOO_WEAK"]);
  });

  it("is for who comes to match by tags or hardware, dynamic or not; a list alone fixes who", async () => {
    const tagged = { filter: 'tag == "winter"' };
    const fixed = { dynamic: false, started_at: new Date("2090-01-01T00:00:00Z") };
    const ids = await Promise.all([
      running([brake], tagged),
      running([lights], { ...tagged, ...fixed }),
    ]);
    await running([await published("horn")], { vins: [vins[1] ?? ""] });
    expect(await offered()).toEqual([]);
    const tag = (tags: string[]) =>
      own.db.updateTable("vehicle").set({ tags }).where("vin", "=", vin).execute();
    await tag(["winter"]);
    expect((await offered()).toSorted()).toEqual(ids.toSorted());
    await tag([]);
    expect(await offered()).toEqual([]);
  });

  it("is nothing before its wave, or beyond the percentage", async () => {
    const waves = JSON.stringify([{ share: 50 }, { share: 50, gate: { after_min: 5 } }]);
    const id = await running([brake], { percentage: 50, waves });
    const by = (from: number, to: number) =>
      vins.find((each) => share(id, each) >= from && share(id, each) < to) ?? "";
    expect(await offered(by(0, 0.25))).toEqual([id]);
    expect(await reasons(id, by(0.25, 0.5))).toEqual(["CAMPAIGN_WAVE_CLOSED"]);
    expect(await reasons(id, by(0.5, 1))).toEqual(["CAMPAIGN_NOT_CHOSEN"]);
    await change(id, { waves_opened: [nine, at("09:05")] });
    expect(await offered(by(0.25, 0.5))).toEqual([id]);
    expect(await countMembers(own.db, await stored(id))).toBe(
      vins.filter((each) => share(id, each) < 0.5).length,
    );
  });

  it("is nothing while it is paused or when it is over, for those that have begun too", async () => {
    const id = await running([brake]);
    await takesPart(id, "updating");
    expect(await offered()).toEqual([id]);
    expect(await mayGoOn(id)).toEqual([]);
    await change(id, { state: "paused" });
    expect(await reasons(id)).toEqual(["CAMPAIGN_PAUSED"]);
    expect(await offered()).toEqual([]);
    expect(await mayGoOn(id)).toMatchObject([{ code: "CAMPAIGN_PAUSED", retry_after_s: 300 }]);
    await change(id, { state: "stopped" });
    expect(await reasons(id)).toEqual(["CAMPAIGN_NOT_RUNNING"]);
    const detail = "the campaign is stopped";
    expect(await mayGoOn(id)).toEqual([{ code: "CAMPAIGN_NOT_RUNNING", detail }]);
  });

  it("is not to be installed from the moment that another gateway has stopped it", async () => {
    const id = await running([brake]);
    expect(await offered()).toEqual([id]);
    await change(id, { state: "stopped" });
    expect(await mayGoOn(id)).toMatchObject([{ code: "CAMPAIGN_NOT_RUNNING" }]);
  });

  it("goes on for who has begun, until it has ended there", async () => {
    const id = await running([brake], { filter: 'model == "Z9"' });
    for (const [status, expected] of [
      ["waiting", []],
      ["updating", []],
      ["soaking", ["CAMPAIGN_VEHICLE_ENDED"]],
      ["failed", ["CAMPAIGN_VEHICLE_ENDED"]],
    ] as const) {
      await takesPart(id, status);
      expect((await reasons(id)).filter((code) => code !== "CAMPAIGN_NOT_TARGETED")).toEqual(
        expected,
      );
    }
  });

  it("is only for those that have begun, once it finishes", async () => {
    const id = await running([brake], { state: "finishing" });
    expect(await reasons(id)).toEqual(["CAMPAIGN_NOT_RUNNING"]);
    await takesPart(id, "waiting");
    expect(await offered()).toEqual([id]);
  });

  it("is nothing once a release is gone", async () => {
    const id = await running([brake, lights]);
    await archive(lights);
    expect(await offered()).toEqual([]);
    expect(await mayGoOn(id)).toMatchObject([{ code: "CAMPAIGN_RELEASE_WITHDRAWN" }]);
    expect(await mayGoOn(null)).toEqual([]);
  });
});

describe("campaigns for the same ECU", () => {
  it("go one after the other: the later one waits, and says for whom", async () => {
    const newer = await published("brake");
    const first = await running([brake]);
    const later = await running([newer], { started_at: at("10:00") });
    const other = await running([lights], { started_at: at("11:00") });
    expect(await offered()).toEqual([first, other]);
    const { vehicle, state } = await checkIn();
    const [reason, ...none] = offers.whyNot(vehicle, state, await stored(later));
    expect(none).toEqual([]);
    expect(reason?.code).toBe("CAMPAIGN_WAITS");
    expect(reason?.detail).toContain(first);

    await takesPart(first, "soaking");
    expect(await offered()).toEqual([other]);
    await takesPart(first, "succeeded");
    expect(await offered()).toEqual([later, other]);
  });

  it("go by their being critical, but what has begun is ended first", async () => {
    const newer = await published("brake");
    const first = await running([brake]);
    const critical = await running([newer], { critical: true, started_at: at("10:00") });
    expect(await offered()).toEqual([critical]);
    expect(await reasons(first)).toEqual(["CAMPAIGN_WAITS"]);
    await takesPart(first, "waiting");
    expect(await offered()).toEqual([first]);
    expect(await reasons(critical)).toEqual(["CAMPAIGN_WAITS"]);
  });

  it("do not wait for one that has nothing for the vehicle, or takes no more", async () => {
    const newer = await published("brake");
    const finishing = await running([brake], { state: "finishing" });
    const elsewhere = await running([brake], { vins: ["VIN-OTHER"] });
    const later = await running([newer], { started_at: at("10:00") });
    expect(await offered()).toEqual([later]);
    await change(finishing, { state: "running" });
    expect(await offered()).toEqual([finishing]);
    const ahead = vins[1] ?? "";
    await showEcus(own.db, ahead, ecusAt(brake.version));
    expect(await offered(ahead)).toEqual([finishing, later]);
    expect(await reasons(elsewhere)).toContain("CAMPAIGN_NOT_TARGETED");
  });

  it("do not wait for one that the vehicle has begun and has nothing of any more", async () => {
    const newer = await published("brake");
    const first = await running([brake]);
    const later = await running([newer], { started_at: at("10:00") });
    const changed = vins[2] ?? "";
    await takesPart(first, "waiting", changed);
    expect(await offered(changed)).toEqual([first]);
    await showEcus(own.db, changed, ecusAt(brake.version));
    expect(await offered(changed)).toEqual([first, later]);
    // What it is at work on, or watched for, nobody takes out of its hands.
    await takesPart(first, "updating", changed);
    expect(await offered(changed)).toEqual([first]);
  });

  it("are no matter where the campaign came after the vehicle was read", async () => {
    const first = await running([brake]);
    const { vehicle, state } = await checkIn();
    await running([lights]);
    await book.refresh();
    expect(offers.offers(vehicle, state, nine)).toMatchObject([{ campaign_id: first }]);
  });
});

describe("the course of campaigns", () => {
  const deps = () => ({
    db: own.db,
    changed: () => book.refresh(),
    log: silentLog,
    maxActive: 100,
  });
  const stateOf = async (id: string) => {
    const { state, state_reason } = await stored(id);
    return [state, state_reason?.code ?? null];
  };
  const scheduled = (change: Parameters<typeof insertRunning>[2]) =>
    running([brake], { state: "scheduled", started_at: null, waves_opened: [], ...change });

  it("starts and ends by the clock; one that jumps back undoes nothing", async () => {
    const id = await scheduled({ starts_at: at("10:00"), ends_at: at("20:00") });
    const byHand = await scheduled({});
    expect(await keepCourse(deps(), at("09:59"))).toBe(0);
    expect(await keepCourse(deps(), at("10:00"))).toBe(1);
    expect(await stored(id)).toMatchObject({
      state: "running",
      started_at: at("10:00"),
      waves_opened: [at("10:00")],
    });
    expect(await offered()).toEqual([id]);
    expect(await keepCourse(deps(), at("09:00"))).toBe(0);
    await takesPart(id, "updating");
    expect(await keepCourse(deps(), at("20:00"))).toBe(1);
    expect(await stateOf(id)).toEqual(["finishing", "CAMPAIGN_OVER"]);
    expect(await keepCourse(deps(), at("10:00"))).toBe(0);
    expect(await stateOf(id)).toEqual(["finishing", "CAMPAIGN_OVER"]);
    await takesPart(id, "failed");
    expect(await keepCourse(deps(), at("20:01"))).toBe(1);
    expect(await stateOf(id)).toEqual(["finished", "CAMPAIGN_OVER"]);
    expect(await stored(id)).toMatchObject({ ended_at: at("20:01") });
    expect(await stateOf(byHand)).toEqual(["scheduled", null]);

    const { rows } = await sql`
      select kind from event where subject = ${id} order by event_id
    `.execute(own.db);
    expect(rows).toEqual([
      { kind: "campaign.started" },
      { kind: "campaign.finishing" },
      { kind: "campaign.finished" },
    ]);
  });

  it("never starts what was over before anybody looked, and ends what is paused", async () => {
    const missed = await scheduled({ starts_at: at("10:00"), ends_at: at("11:00") });
    const paused = await running([brake], { state: "paused", ends_at: at("11:00") });
    await keepCourse(deps(), at("12:00"));
    expect(await stateOf(missed)).toEqual(["finished", "CAMPAIGN_OVER"]);
    expect(await stateOf(paused)).toEqual(["finishing", "CAMPAIGN_OVER"]);
  });

  it("pauses with the reason when a release is archived, before the start too", async () => {
    const id = await running([brake, lights]);
    const unaffected = await running([brake]);
    const waiting = await running([lights], {
      state: "scheduled",
      started_at: null,
      waves_opened: [],
      starts_at: at("10:00"),
    });
    expect(await haltWithdrawn(deps(), at("12:00"))).toBe(0);
    await archive(lights);
    await keepCourse(deps(), at("12:00"));
    expect(await stateOf(waiting)).toEqual(["paused", "CAMPAIGN_RELEASE_UNAVAILABLE"]);
    expect(await haltWithdrawn(deps(), at("12:00"))).toBe(1);
    expect(await haltWithdrawn(deps(), at("12:01"))).toBe(0);
    expect(await stateOf(id)).toEqual(["paused", "CAMPAIGN_RELEASE_WITHDRAWN"]);
    expect(await stateOf(unaffected)).toEqual(["running", null]);
    // It never started: it keeps no ECU from others.
    expect(book.active().map(({ campaign }) => campaign.campaign_id)).not.toContain(waiting);
  });

  it("pauses when the last release that one requires is archived after the start", async () => {
    const requires = JSON.stringify([{ ecu_type: "lights", min_version: "1.9.0" }]);
    await own.db
      .updateTable("firmware")
      .set({ requires })
      .where("firmware_id", "=", brake.firmware_id)
      .execute();
    const id = await running([brake]);
    const another = await published("lights");
    await archive(lights);
    expect(await haltWithdrawn(deps(), at("12:00"))).toBe(0);
    await archive(another);
    const after = await running([brake], { started_at: at("12:30") });
    expect(await haltWithdrawn(deps(), at("12:01"))).toBe(1);
    expect(await stateOf(id)).toEqual(["paused", "CAMPAIGN_REQUIREMENT_WITHDRAWN"]);
    expect(await stateOf(after)).toEqual(["running", null]);
  });
});

describe("the campaigns in memory", () => {
  it("follow what another gateway writes, and drop what is over", async () => {
    const other = await openCampaignBook({ db: own.db, everyMs: 5, log: silentLog });
    try {
      const id = await running([brake]);
      const state = () =>
        other.active().find(({ campaign }) => campaign.campaign_id === id)?.campaign.state;
      await expect.poll(state).toBe("running");
      await change(id, { state: "paused" });
      await expect.poll(state).toBe("paused");
      await change(id, { state: "stopped" });
      await expect.poll(state).toBeUndefined();
    } finally {
      other.stop();
    }
  });

  it("take one whose filter can't be read any more as for nobody", async () => {
    const id = await running([brake], { filter: "colour == red" });
    expect(await offered()).toEqual([]);
    expect(await reasons(id)).toEqual(["CAMPAIGN_NOT_TARGETED"]);
  });
});
