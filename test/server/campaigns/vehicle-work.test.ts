import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BATCH } from "#server/campaigns/batch.ts";
import { countsOfCampaign, ofWave } from "#server/campaigns/counter-queries.ts";
import type { Participation } from "#server/campaigns/participation.ts";
import { saveStandings } from "#server/campaigns/progress-queries.ts";
import { campaignById } from "#server/campaigns/queries.ts";
import { retryFailed } from "#server/campaigns/retry.ts";
import { followReverting, tellToRevert } from "#server/campaigns/revert.ts";
import { endSoaks } from "#server/campaigns/soak.ts";
import { retryVehicles, rollBackVehicles } from "#server/campaigns/vehicle-actions.ts";
import { moveCommand } from "#server/commands/queries.ts";
import type { Operator } from "#server/http/access.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import {
  ecusAt,
  insertFirmware,
  insertRunning,
  insertVehicles,
  showEcus,
  type Brought,
} from "./campaign-data.ts";

const start = new Date("2026-03-01T10:00:00Z");
const after = (minutes: number) => new Date(start.getTime() + minutes * 60_000);

let own: OwnDatabase;
let vins: string[];
let brake: Brought;
const delivered: string[] = [];
const touched = new Set<string>();
const deps = () => ({
  db: own.db,
  counted: (campaignId: string) => void touched.add(campaignId),
  deliver: (vin: string) => void delivered.push(vin),
  ttlSeconds: 600,
  log: silentLog,
  now: () => start,
});
const operator = { name: "anna", token_id: "00000000-0000-7000-8000-000000000000" } as Operator;

beforeAll(async () => {
  own = await ownDatabase();
  // More than a batch has.
  vins = await insertVehicles(own.db, BATCH + 100);
  brake = await insertFirmware(own.db);
});
afterAll(() => own.remove());

/** The first so many vehicles, and others, stand so in a campaign. */
async function stand(
  campaignId: string,
  count: number,
  after: Partial<Participation>,
  others: readonly string[] = [],
) {
  const standing: Participation = {
    status: "succeeded",
    update_id: null,
    attempts: 1,
    reason: null,
    soak_until: null,
    finished_at: null,
    groups: [{ ecu_type: "brake", hardware_version: "HW-1.0" }],
    dtcs: null,
    ...after,
  };
  const standings = [...vins.slice(0, count), ...others].map((vin) => ({
    vin,
    wave: 0,
    before: undefined,
    after: standing,
  }));
  await own.db.transaction().execute((tx) => saveStandings(tx, campaignId, standings));
}

const whole = async (campaignId: string) => ofWave(await countsOfCampaign(own.db, campaignId), 0);
const statuses = async (campaignId: string) => {
  const rows = await own.db
    .selectFrom("campaign_vehicle")
    .select("status")
    .where("campaign_id", "=", campaignId)
    .execute();
  return [...new Set(rows.map(({ status }) => status))];
};
const setState = (campaignId: string, state: "paused" | "stopped") =>
  own.db.updateTable("campaign").set({ state }).where("campaign_id", "=", campaignId).execute();

describe("soaking", () => {
  it("ends for all that are due, however many, and for none that are not", async () => {
    const campaign = await insertRunning(own.db, [brake]);
    await stand(campaign, vins.length, { status: "soaking", soak_until: after(60) });
    expect(await endSoaks(deps(), after(59))).toBe(0);
    // Two gateways at once: each vehicle counts once.
    const both = await Promise.all([endSoaks(deps(), after(60)), endSoaks(deps(), after(60))]);
    expect(both[0] + both[1] + (await endSoaks(deps(), after(60)))).toBe(vins.length);
    expect(await statuses(campaign)).toEqual(["succeeded"]);
    expect(await whole(campaign)).toMatchObject({ soaking: 0, succeeded: vins.length });
    expect(touched).toContain(campaign);
  });

  it("ends batch by batch, and stops where it may not go on", async () => {
    const campaign = await insertRunning(own.db, [brake]);
    await stand(campaign, vins.length, { status: "soaking", soak_until: after(60) });
    expect(await endSoaks(deps(), after(60), () => false)).toBe(BATCH);
    expect(await endSoaks(deps(), after(60))).toBe(vins.length - BATCH);
  });
});

describe("another try", () => {
  const failed = {
    status: "failed",
    reason: { code: "FLASH_FAILED", detail: "" },
    finished_at: after(-1),
    groups: [{ ecu_type: "brake", hardware_version: "HW-1.0", failed: true }],
  } as const;

  it("is given to all that failed before it was asked for, and to none later", async () => {
    const campaign = await insertRunning(own.db, [brake]);
    await stand(campaign, vins.length, failed);
    await retryVehicles(deps(), campaign, operator, { comment: "the depot has power again" });
    expect(await whole(campaign)).toMatchObject({ failed: vins.length - BATCH });
    expect((await campaignById(own.db, campaign))?.retry_at).toEqual(start);
    expect(await retryFailed(deps(), campaign, start)).toBe(vins.length - BATCH);
    expect(await statuses(campaign)).toEqual(["waiting"]);
    const [brakes] = (await countsOfCampaign(own.db, campaign)).filter(({ ecu_type }) => ecu_type);
    expect(brakes?.counts).toMatchObject({ started: vins.length, failed: 0 });
    expect((await campaignById(own.db, campaign))?.retry_at).toBeNull();
    const entry = await own.db
      .selectFrom("audit_entry")
      .select(["actor", "detail"])
      .where("subject", "=", campaign)
      .executeTakeFirst();
    expect(entry).toMatchObject({
      actor: "operator:anna",
      detail: { comment: "the depot has power again" },
    });
  });

  it("needs no update where the releases are there, and new DTCs were all: they are acknowledged", async () => {
    const by = { code: "CAMPAIGN_NEW_DTCS", detail: "ECU_001 P0562" };
    const dtcs = [{ ecu_id: "ECU_001", code: "P0562" }];
    const rules = { new_dtcs: "count", soak_min: 60 } as const;
    const campaign = await insertRunning(own.db, [brake], rules);
    const [there = "", changed = "", unknown = ""] = vins;
    await showEcus(own.db, there, ecusAt("2.0.0"));
    await showEcus(own.db, changed, ecusAt("1.0.0"));
    await stand(campaign, 3, { ...failed, reason: by, dtcs });
    await retryVehicles(deps(), campaign, operator, {});
    const rows = await own.db
      .selectFrom("campaign_vehicle")
      .select(["vin", "status", "reason", "dtcs", "soak_until"])
      .where("campaign_id", "=", campaign)
      .orderBy("vin")
      .execute();
    const none = { reason: null, dtcs: null, soak_until: null };
    expect(rows).toEqual([
      { ...none, vin: there, status: "soaking", soak_until: after(60) },
      { ...none, vin: changed, status: "waiting" },
      { ...none, vin: unknown, status: "waiting" },
    ]);
    const [brakes] = (await countsOfCampaign(own.db, campaign)).filter(({ ecu_type }) => ecu_type);
    expect(brakes?.counts).toMatchObject({ started: 3, soaking: 1, failed: 0, new_dtcs: 0 });
  });

  it("is not given again to one that has failed again", async () => {
    const campaign = await insertRunning(own.db, [brake]);
    await stand(campaign, 3, { ...failed, finished_at: after(1) });
    await retryVehicles(deps(), campaign, operator, {});
    expect(await statuses(campaign)).toEqual(["failed"]);
    expect((await campaignById(own.db, campaign))?.retry_at).toBeNull();
  });

  it("is for a campaign that goes on", async () => {
    const campaign = await insertRunning(own.db, [brake]);
    await setState(campaign, "stopped");
    const refused = retryVehicles(deps(), campaign, operator, {});
    await expect(refused).rejects.toMatchObject({ code: "CAMPAIGN_STATE" });
  });
});

describe("going back", () => {
  const done = { finished_at: after(-60) };

  async function toldToRevert(count: number, per_min = 10) {
    const campaign = await insertRunning(own.db, [brake]);
    await stand(campaign, count, done);
    await setState(campaign, "paused");
    delivered.length = 0;
    await rollBackVehicles(deps(), campaign, operator, { per_min });
    return campaign;
  }
  const commands = (campaignId: string) =>
    own.db
      .selectFrom("campaign_vehicle")
      .innerJoin("command", "command.command_id", "campaign_vehicle.command_id")
      .select(["command.command_id", "command.vin", "command", "issued_by"])
      .where("campaign_id", "=", campaignId)
      .orderBy("vin")
      .execute();

  it("goes at the pace that the operator said, and does not make up for a standstill", async () => {
    const campaign = await toldToRevert(40);
    expect(delivered).toHaveLength(10);
    expect(await commands(campaign)).toHaveLength(10);
    expect((await commands(campaign))[0]).toMatchObject({
      command: "ota_rollback",
      issued_by: "anna",
    });
    expect(await tellToRevert(deps(), campaign, after(0.05))).toBe(0);
    expect(await tellToRevert(deps(), campaign, after(0.5))).toBe(5);
    expect(await tellToRevert(deps(), campaign, after(600))).toBe(10);
    expect(await tellToRevert(deps(), campaign, after(601))).toBe(10);
    expect((await campaignById(own.db, campaign))?.revert_at).toEqual(start);
    expect(await tellToRevert(deps(), campaign, after(602))).toBe(5);
    expect((await campaignById(own.db, campaign))?.revert_at).toBeNull();
    expect(await whole(campaign)).toMatchObject({ succeeded: 40, reverted: 0 });
  });

  it("counts once the vehicle shows that it has, and as success when it won't", async () => {
    const campaign = await toldToRevert(4);
    const [gone, refusing, silent, claiming] = await commands(campaign);
    if (!gone || !refusing || !silent || !claiming) throw new Error("four were told");
    for (const { vin } of [refusing, silent, claiming])
      await showEcus(own.db, vin, ecusAt("2.0.0"));
    await showEcus(own.db, gone.vin, ecusAt("1.0.0"));
    const answer = (each: typeof gone, status: "rejected" | "completed") =>
      moveCommand(own.db, each.vin, each.command_id, status);
    await answer(refusing, "rejected");
    await answer(claiming, "completed");
    const now = new Date();
    expect(await followReverting(deps(), campaign, now)).toBe(2);
    const later = new Date(now.getTime() + 31 * 60_000);
    expect(await followReverting(deps(), campaign, later)).toBe(1);
    const rows = await own.db
      .selectFrom("campaign_vehicle")
      .select(["vin", "status", "reason"])
      .where("campaign_id", "=", campaign)
      .orderBy("vin")
      .execute();
    const code = "CAMPAIGN_ROLLBACK_FAILED";
    expect(rows).toMatchObject([
      { vin: gone.vin, status: "reverted", reason: null },
      { vin: refusing.vin, status: "succeeded", reason: { code } },
      { vin: silent.vin, status: "reverting", reason: null },
      { vin: claiming.vin, status: "succeeded", reason: { code } },
    ]);
    expect(await whole(campaign)).toMatchObject({ succeeded: 3, reverted: 1 });
    // One that would not is not told again and again.
    expect(await tellToRevert(deps(), campaign, later)).toBe(0);
  });

  it("is nothing for a vehicle that was removed, before it is told or after", async () => {
    const extra = (name: string) => ({ vin: name, model: null, region: null, vmg_version: null });
    const leavers = ["VIN-00000-GONE", "VIN-00000-LEAVES"];
    await own.db
      .insertInto("vehicle")
      .values(leavers.map((vin) => ({ ...extra(vin), min_profile: null })))
      .execute();
    await showEcus(own.db, vins[0] ?? "", ecusAt("2.0.0"));
    const campaign = await insertRunning(own.db, [brake]);
    await stand(campaign, 1, done, leavers);
    await setState(campaign, "paused");
    const remove = (vin = "") => own.db.deleteFrom("vehicle").where("vin", "=", vin).execute();
    await remove(leavers[0]);
    delivered.length = 0;
    await rollBackVehicles(deps(), campaign, operator, { per_min: 60 });
    expect(delivered.toSorted()).toEqual([vins[0], leavers[1]]);
    await remove(leavers[1]);
    expect(await followReverting(deps(), campaign, after(1))).toBe(1);
    const kept = await own.db
      .selectFrom("campaign_vehicle")
      .select(["vin", "status"])
      .where("campaign_id", "=", campaign)
      .where("vin", "in", leavers)
      .execute();
    expect(kept.map(({ status }) => status)).toEqual(["succeeded", "succeeded"]);
    expect(await whole(campaign)).toMatchObject({ succeeded: 3, reverted: 0 });
  });

  it("is for a campaign that brings it to nobody", async () => {
    const campaign = await insertRunning(own.db, [brake]);
    const refused = rollBackVehicles(deps(), campaign, operator, { per_min: 1 });
    await expect(refused).rejects.toMatchObject({ code: "CAMPAIGN_STATE" });
  });
});
