import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { act } from "#server/campaigns/actions.ts";
import { keepCourse } from "#server/campaigns/course.ts";
import { campaignById } from "#server/campaigns/queries.ts";
import type { Operator } from "#server/http/access.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { insertFirmware, insertRunning, insertVehicles, type Brought } from "./campaign-data.ts";

const now = new Date("2026-03-01T10:00:00Z");
const ago = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
const by = { name: "anna", token_id: "of anna" } as Operator;

let own: OwnDatabase;
let brake: Brought;
let changes = 0;

beforeAll(async () => {
  own = await ownDatabase();
  brake = await insertFirmware(own.db);
  await own.db
    .updateTable("firmware")
    .set({ published_at: ago(99) })
    .execute();
  await insertVehicles(own.db, 1);
});
afterAll(() => own.remove());
beforeEach(() => own.db.deleteFrom("campaign").execute());

/** With room for two. */
const deps = () => ({
  db: own.db,
  maxActive: 2,
  approval: false,
  changed: async () => void changes++,
  log: silentLog,
  now: () => now,
});
const round = () => keepCourse(deps(), now);
const inState = (state: "draft" | "scheduled" | "paused", change: object = {}) =>
  insertRunning(own.db, [brake], { state, started_at: null, waves_opened: [], ...change });
const scheduled = (change: object = {}) => inState("scheduled", change);
const running = () => insertRunning(own.db, [brake]);
const start = (id: string) => act(deps(), id, "start", by, {});
const standing = async (id: string) => {
  const { state, state_reason, revision } = (await campaignById(own.db, id)) ?? {};
  return [state, state_reason?.code ?? null, revision];
};

it("is for so many campaigns, whoever starts them at the same time; paused ones count", async () => {
  const first = await running();
  const [second, third] = [await scheduled(), await scheduled()];
  const both = await Promise.allSettled([start(second), start(third)]);
  expect(both.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
  const reason = expect.objectContaining({ code: "CAMPAIGNS_FULL" }) as Error;
  expect(both).toContainEqual({ status: "rejected", reason });
  const waiting = both[0].status === "fulfilled" ? third : second;
  expect(await standing(waiting)).toEqual(["scheduled", null, 1]);
  await act(deps(), first, "pause", by, {});
  await expect(start(waiting)).rejects.toMatchObject({ code: "CAMPAIGNS_FULL" });
  // What has started goes on, however many there may be.
  const one = { ...deps(), maxActive: 1 };
  expect(await act(one, first, "resume", by, {})).toMatchObject({ state: "running" });
  await act(deps(), first, "stop", by, {});
  expect(await start(waiting)).toMatchObject({ state: "running" });
});

it("is not there for one either that was paused before its start", async () => {
  const paused = await inState("paused");
  const [first] = [await running(), await running()];
  const resume = () => act(deps(), paused, "resume", by, {});
  await expect(resume()).rejects.toMatchObject({ code: "CAMPAIGNS_FULL" });
  await act(deps(), first, "stop", by, {});
  expect(await resume()).toMatchObject({ state: "running" });
});

it("is waited for by those whose time comes, in their order; that is noted once", async () => {
  const first = await running();
  await running();
  const later = await scheduled({ starts_at: ago(1) });
  const sooner = await scheduled({ starts_at: ago(2) });
  const critical = await scheduled({ starts_at: ago(0), critical: true });
  const over = await scheduled({ starts_at: ago(3), ends_at: ago(1) });
  expect(await round()).toBe(4);
  const waits = ["scheduled", "CAMPAIGNS_FULL", 1];
  const all = () => Promise.all([sooner, later, critical].map(standing));
  expect(await all()).toEqual([waits, waits, waits]);
  expect(await standing(over)).toEqual(["finished", "CAMPAIGN_OVER", 2]);
  changes = 0;
  const noted = await campaignById(own.db, sooner);
  expect(await round()).toBe(0);
  expect([await campaignById(own.db, sooner), changes]).toEqual([noted, 0]);

  await act(deps(), first, "stop", by, {});
  expect(await round()).toBe(1);
  expect(await all()).toEqual([waits, waits, ["running", null, 2]]);
  await act(deps(), critical, "stop", by, {});
  expect(await round()).toBe(1);
  expect(await all()).toEqual([["running", null, 2], waits, ["stopped", null, 3]]);
});

it("is waited for by one that would start with its approval", async () => {
  const [first] = [await running(), await running()];
  const id = await inState("draft", { filter: "all", starts_at: ago(1) });
  const submitted = await act(deps(), id, "submit", by, {});
  expect(submitted).toMatchObject({
    state: "scheduled",
    state_reason: { code: "CAMPAIGNS_FULL" },
  });
  await act(deps(), first, "stop", by, {});
  expect(await round()).toBe(1);
  expect((await standing(id)).slice(0, 2)).toEqual(["running", null]);
});
