import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StopRule } from "#protocol/api/campaign.ts";
import { countsOfCampaign } from "#server/campaigns/counter-queries.ts";
import { createEvaluation, evaluate } from "#server/campaigns/evaluation.ts";
import type { Participation } from "#server/campaigns/participation.ts";
import { saveStandings } from "#server/campaigns/progress-queries.ts";
import { progressOf } from "#server/campaigns/progress-view.ts";
import { campaignById } from "#server/campaigns/queries.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { insertFirmware, insertRunning, insertVehicles, type Brought } from "./campaign-data.ts";

const start = new Date("2026-03-01T10:00:00Z");
const after = (minutes: number) => new Date(start.getTime() + minutes * 60_000);
const stop_rule: StopRule = { max_failure_rate: 0.1, confidence: 0.95, min_sample: 5 };

let own: OwnDatabase;
let brake: Brought;
let vins: string[];

beforeAll(async () => {
  own = await ownDatabase();
  brake = await insertFirmware(own.db);
  vins = await insertVehicles(own.db, 12);
});
afterAll(() => own.remove());

/** So many vehicles stand so in a campaign. */
async function stand(
  campaignId: string,
  numbers: Partial<Record<Participation["status"], number>>,
  change: Partial<Participation> = {},
): Promise<void> {
  let next = 0;
  const standings = Object.entries(numbers).flatMap(([status, count]) =>
    Array.from({ length: count }, () => ({
      vin: vins[next++] ?? "",
      wave: 0,
      before: undefined,
      after: {
        status: status as Participation["status"],
        update_id: null,
        attempts: 1,
        reason: null,
        soak_until: null,
        finished_at: null,
        groups: [],
        dtcs: null,
        ...change,
      },
    })),
  );
  await own.db.transaction().execute((tx) => saveStandings(tx, campaignId, standings));
}

const running = (change: Parameters<typeof insertRunning>[2] = {}) =>
  insertRunning(own.db, [brake], { waves_opened: [start], ...change });
const withRule = () => running({ stop_rule: JSON.stringify(stop_rule) });

let changes = 0;
const deps = () => ({
  db: own.db,
  changed: async () => {
    changes++;
  },
});

const told = (subject: string) =>
  Promise.all([
    own.db.selectFrom("event").select(["kind", "data"]).where("subject", "=", subject).execute(),
    own.db
      .selectFrom("audit_entry")
      .select(["actor", "action", "detail"])
      .where("subject", "=", subject)
      .execute(),
  ]);

describe("the stop rule", () => {
  it("stops a campaign, with the figures that it found, for everybody to see", async () => {
    const campaign = await withRule();
    await stand(campaign, { succeeded: 6, failed: 2, rolled_back: 2 });
    expect(await evaluate(deps(), campaign, start)).toBe(true);
    const reason = {
      code: "CAMPAIGN_STOP_RULE",
      detail: expect.stringContaining("4 of 10 vehicles failed"),
      finding: {
        scope: "whole",
        failed: 4,
        finished: 10,
        lower_bound: expect.closeTo(0.19423, 5),
        threshold: 0.1,
      },
    };
    expect(await campaignById(own.db, campaign)).toMatchObject({
      state: "stopped",
      state_reason: reason,
      ended_at: start,
    });
    const [events, entries] = await told(campaign);
    expect(events).toMatchObject([{ kind: "campaign.stopped", data: { reason } }]);
    expect(entries).toMatchObject([
      { actor: "gateway", action: "campaign.stop", detail: { reason } },
    ]);
  });

  it("lets those that soak speak for it, or failures would be all there is", async () => {
    const campaign = await withRule();
    await stand(campaign, { soaking: 9, failed: 2 });
    expect(await evaluate(deps(), campaign, start)).toBe(false);
  });

  it("names the ECUs that fail while the whole does not", async () => {
    const campaign = await withRule();
    const groups = [{ ecu_type: "brake", hardware_version: "HW-1.0", failed: true as const }];
    await stand(campaign, { failed: 5 }, { groups });
    await own.db
      .updateTable("campaign_counter")
      .set({ succeeded: 1000 })
      .where("campaign_id", "=", campaign)
      .where("ecu_type", "=", "")
      .execute();
    await evaluate(deps(), campaign, start);
    expect((await campaignById(own.db, campaign))?.state_reason?.finding).toMatchObject({
      scope: { ecu_type: "brake", hardware_version: "HW-1.0" },
      failed: 5,
      finished: 5,
    });
  });

  it.for(["paused", "finishing"] as const)("holds for a campaign that is %s", async (state) => {
    const campaign = await withRule();
    await own.db
      .updateTable("campaign")
      .set({ state })
      .where("campaign_id", "=", campaign)
      .execute();
    await stand(campaign, { failed: 5 });
    expect(await evaluate(deps(), campaign, start)).toBe(true);
    expect(await campaignById(own.db, campaign)).toMatchObject({ state: "stopped" });
  });

  it("is carried out once by those who see it at the same time", async () => {
    const campaign = await withRule();
    await stand(campaign, { failed: 8 });
    changes = 0;
    await Promise.all([1, 2, 3, 4].map(() => evaluate(deps(), campaign, start)));
    const [events, entries] = await told(campaign);
    expect([events.length, entries.length, changes]).toEqual([1, 1, 1]);
  });

  it("is nothing that a campaign without one, or one that is over, hears of", async () => {
    const [without, over] = [await running(), await withRule()];
    for (const campaign of [without, over]) await stand(campaign, { failed: 10 });
    await own.db
      .updateTable("campaign")
      .set({ state: "finished" })
      .where("campaign_id", "=", over)
      .execute();
    expect(await evaluate(deps(), without, start)).toBe(false);
    expect(await evaluate(deps(), over, start)).toBe(false);
  });
});

describe("waves", () => {
  it("open one after the other by time, each told of once", async () => {
    const waves = [
      { share: 10 },
      ...[5, 5].map((after_min) => ({ share: 45, gate: { after_min } })),
    ];
    const campaign = await running({ waves: JSON.stringify(waves) });
    const openedAt = async (minutes: number) => {
      await Promise.all([1, 2].map(() => evaluate(deps(), campaign, after(minutes))));
      return (await campaignById(own.db, campaign))?.waves_opened;
    };
    expect(await openedAt(4)).toEqual([start]);
    expect(await openedAt(7)).toEqual([start, after(7)]);
    expect(await openedAt(11)).toEqual([start, after(7)]);
    expect(await openedAt(12)).toEqual([start, after(7), after(12)]);
    const [events] = await told(campaign);
    expect(events).toMatchObject([
      { kind: "campaign.wave_opened", data: { wave: 1 } },
      { kind: "campaign.wave_opened", data: { wave: 2 } },
    ]);
  });

  const gate = { min_finished: 2, max_failure_rate: 0.5, soak_min: 30 };
  const gated = JSON.stringify([{ share: 10 }, { share: 90, gate }]);

  it("open once the gate has been met for long enough, and not before", async () => {
    const campaign = await running({ waves: gated });
    const at = async (minutes: number) => {
      await evaluate(deps(), campaign, after(minutes));
      const found = await campaignById(own.db, campaign);
      return [found?.waves_opened.length, found?.gate_met_at];
    };
    await stand(campaign, { soaking: 2 });
    expect(await at(1)).toEqual([1, null]);
    await stand(campaign, { succeeded: 1, failed: 1 });
    expect(await at(2)).toEqual([1, after(2)]);
    await stand(campaign, { failed: 1 });
    expect(await at(3)).toEqual([1, null]);
    await stand(campaign, { succeeded: 1 });
    expect(await at(4)).toEqual([1, after(4)]);
    expect(await at(33)).toEqual([1, after(4)]);
    expect(await at(34)).toEqual([2, null]);
  });

  it("say what they wait for, and how much of that is there", async () => {
    const campaign = await running({ waves: gated });
    const { min_finished, max_failure_rate } = gate;
    const shown = async () => {
      const found = await campaignById(own.db, campaign);
      return (
        found && progressOf(found, await countsOfCampaign(own.db, campaign), after(1)).next_wave
      );
    };
    const limits = { min_finished, max_failure_rate };
    await stand(campaign, { soaking: 1, rolled_back: 1 });
    const waiting = { wave: 1, opens_at: null, waits_for: "finished_vehicles" };
    expect(await shown()).toEqual({ ...waiting, gate: { finished: 1, failed: 1, ...limits } });
    await stand(campaign, { failed: 2, succeeded: 1 });
    const failing = { ...waiting, waits_for: "fewer_failures" };
    expect(await shown()).toEqual({ ...failing, gate: { finished: 4, failed: 3, ...limits } });
    await stand(campaign, { succeeded: 2 });
    expect(await shown()).toEqual({
      ...{ wave: 1, opens_at: after(31).toISOString(), waits_for: "time" },
      gate: { finished: 6, failed: 3, ...limits },
    });
  });

  it("stay shut while the campaign is paused", async () => {
    const campaign = await running({
      waves: JSON.stringify([{ share: 10 }, { share: 90, gate: { after_min: 0 } }]),
    });
    const set = (state: "paused" | "running") =>
      own.db.updateTable("campaign").set({ state }).where("campaign_id", "=", campaign).execute();
    await set("paused");
    expect(await evaluate(deps(), campaign, after(60))).toBe(false);
    await set("running");
    expect(await evaluate(deps(), campaign, after(60))).toBe(true);
  });
});

it("looks at a campaign once for all that was counted meanwhile, and tells that it changed", async () => {
  const campaign = await withRule();
  await stand(campaign, { failed: 6 });
  const { promise, resolve } = Promise.withResolvers<void>();
  const evaluation = createEvaluation({
    db: own.db,
    changed: async () => resolve(),
    log: silentLog,
    everyMs: 1,
  });
  for (let index = 0; index < 100; index++) evaluation.counted(campaign);
  await promise;
  await evaluation.stop();
  evaluation.counted(campaign);
  const [, entries] = await told(campaign);
  expect(entries).toHaveLength(1);
});

it("looks at all of them for what time brings", async () => {
  const waves = JSON.stringify([{ share: 10 }, { share: 90, gate: { after_min: 600_000 } }]);
  const campaign = await running({ waves });
  const evaluation = createEvaluation({ ...deps(), log: silentLog });
  expect(await evaluation.all(after(599_999))).toBe(0);
  expect(await evaluation.all(after(600_000))).toBe(1);
  expect(await campaignById(own.db, campaign)).toMatchObject({
    waves_opened: [start, after(600_000)],
  });
});
