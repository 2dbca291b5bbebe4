import { sql, type Insertable } from "kysely";
import pino from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BATCH } from "#server/campaigns/batch.ts";
import { createEvaluation } from "#server/campaigns/evaluation.ts";
import type { Participation } from "#server/campaigns/participation.ts";
import { saveStandings } from "#server/campaigns/progress-queries.ts";
import { campaignById } from "#server/campaigns/queries.ts";
import { campaignRound } from "#server/campaigns/round.ts";
import type { CampaignTable } from "#server/campaigns/table.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import {
  insertFirmware,
  insertRunning,
  insertVehicles,
  spoil,
  type Brought,
} from "./campaign-data.ts";

const now = new Date("2026-03-01T10:00:00Z");
const before = new Date("2026-03-01T09:00:00Z");

let own: OwnDatabase;
const logged: Record<string, unknown>[] = [];
const log = pino({}, { write: (line) => logged.push(JSON.parse(line) as (typeof logged)[0]) });

beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

function round() {
  const changed = async () => {};
  const evaluation = createEvaluation({ db: own.db, changed, log });
  const { db } = own;
  const work = { maxActive: 100, counted: () => {}, deliver: () => {}, ttlSeconds: 60 };
  return campaignRound({ db, changed, log, evaluation, ...work }, now, () => true);
}

/** So many vehicles stand so in a campaign. */
async function stand(campaignId: string, vins: string[], change: Partial<Participation>) {
  const standing: Participation = {
    ...{ status: "succeeded", update_id: null, attempts: 1, reason: null, soak_until: null },
    ...{ finished_at: before, groups: [], dtcs: null },
    ...change,
  };
  const standings = vins.map((vin) => ({ vin, wave: 0, before: undefined, after: standing }));
  await own.db.transaction().execute((tx) => saveStandings(tx, campaignId, standings));
}

/** Of each two that are alike, nothing can be done for the first. */
async function pair(
  release: Brought,
  change: Partial<Insertable<CampaignTable>> = {},
): Promise<[spoiled: string, other: string]> {
  const made = () => insertRunning(own.db, [release], { waves_opened: [before], ...change });
  return [await made(), await made()];
}

const ask = (ids: readonly string[], asked: { retry_at: Date } | { revert_at: Date }) =>
  own.db
    .updateTable("campaign")
    .set({ ...asked, revert_per_min: 60 })
    .where("campaign_id", "in", ids)
    .execute();

it("does for every other campaign what can't be done for one", async () => {
  const brake = await insertFirmware(own.db);
  await own.db.updateTable("firmware").set({ published_at: before }).execute();
  const unpublished = await insertFirmware(own.db, { ecu_type: "lights" });
  const vins = await insertVehicles(own.db, BATCH + 1);
  const some = vins.slice(0, 2);

  const soaking = await pair(brake);
  const soaks = { status: "soaking", finished_at: null } as const;
  // Those of the first are due longer, and more than a batch has.
  await stand(soaking[0], vins, { ...soaks, soak_until: new Date(before.getTime() - 1) });
  await stand(soaking[1], some, { ...soaks, soak_until: before });
  const retried = await pair(brake);
  await ask(retried, { retry_at: now });
  for (const id of retried) await stand(id, some, { status: "failed" });
  const reverted = await pair(brake, { state: "stopped" });
  await ask(reverted, { revert_at: now });
  for (const id of reverted) await stand(id, some, {});
  const waves = JSON.stringify([{ share: 50 }, { share: 50, gate: { after_min: 0 } }]);
  const opening = await pair(brake, { waves });
  const withdrawn = await pair(unpublished);
  const ending = await pair(brake, { ends_at: before });
  const all = [soaking, retried, reverted, opening, withdrawn, ending];
  await spoil(
    own.db,
    all.map(([spoiled]) => spoiled),
  );

  await round();
  expect(await both(soaking, statuses)).toEqual([["soaking"], ["succeeded"]]);
  expect(await both(retried, statuses)).toEqual([["failed"], ["waiting"]]);
  expect(await both(reverted, statuses)).toEqual([["succeeded"], ["reverting"]]);
  expect(await both(opening, wavesOpened)).toEqual([1, 2]);
  expect(await both(withdrawn, stateOf)).toEqual(["running", "paused"]);
  expect(await both(ending, stateOf)).toEqual(["running", "finishing"]);
  const errors = logged.filter(({ level }) => level === 50);
  expect(errors.map(({ work, campaign_id }) => [work, campaign_id])).toEqual([
    ["soaking", soaking[0]],
    ["retry", retried[0]],
    ["rollback", reverted[0]],
    ["evaluation", opening[0]],
    ["withdrawn releases", withdrawn[0]],
    ["course", ending[0]],
  ]);
});

const both = <Found>(ids: readonly string[], what: (id: string) => Promise<Found>) =>
  Promise.all(ids.map(what));
const stateOf = async (id: string) => (await campaignById(own.db, id))?.state;
const wavesOpened = async (id: string) => (await campaignById(own.db, id))?.waves_opened.length;
async function statuses(id: string) {
  const { rows } = await sql<{ status: string }>`
    select distinct status from campaign_vehicle where campaign_id = ${id}
  `.execute(own.db);
  return rows.map(({ status }) => status);
}

it("does the other kinds of work when one fails as a whole", async () => {
  const brake = await insertFirmware(own.db, { version: "4.0.0" });
  const ended = await insertRunning(own.db, [brake], { ends_at: before });
  await sql`alter table campaign_vehicle rename column soak_until to away`.execute(own.db);
  logged.length = 0;
  await round();
  expect(await campaignById(own.db, ended)).toMatchObject({ state: "finishing" });
  expect(logged).toContainEqual(expect.objectContaining({ work: "campaigns: soaking" }));
});
