import { randomUUIDv7 } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { UpdateStatus } from "#protocol/api/update.ts";
import { counted, difference, nothing, type Counts } from "#server/campaigns/count.ts";
import { createProgress } from "#server/campaigns/progress.ts";
import type { UpdateMoved } from "#server/updates/moved.ts";
import { lockVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import {
  ecusAt,
  insertFirmware,
  insertRunning,
  insertVehicles,
  showEcus,
  targetOf,
  type Brought,
} from "./campaign-data.ts";

let own: OwnDatabase;
let vins: string[];
let brake: Brought;
let lights: Brought;
const touched: string[] = [];
const progress = createProgress({ counted: (campaignId) => touched.push(campaignId) });

beforeAll(async () => {
  own = await ownDatabase();
  vins = await insertVehicles(own.db, 24);
  brake = await insertFirmware(own.db);
  lights = await insertFirmware(own.db, { ecu_type: "lights" });
});
afterAll(() => own.remove());

let next = 0;
/** A vehicle that no other test has. */
const fresh = () => vins[next++] ?? "none left";

const move = (update: Partial<UpdateMoved> & Pick<UpdateMoved, "vin" | "to" | "campaign_id">) =>
  own.db.transaction().execute(async (tx) => {
    await lockVehicle(tx, update.vin);
    await progress.moved(tx, {
      update_id: "00000000-0000-7000-8000-000000000000",
      targets: [targetOf(brake)],
      from: "pending",
      error: null,
      ecu_id: null,
      ...update,
    });
  });

const report = (vin: string, ecus = ecusAt()) =>
  own.db.transaction().execute(async (tx) => {
    await lockVehicle(tx, vin);
    await progress.reported(tx, vin, ecus);
  });

/** Takes a vehicle through an update, from its making to this end. */
async function carryOut(
  campaign_id: string,
  vin: string,
  end: UpdateStatus,
  change: Partial<UpdateMoved> = {},
): Promise<string> {
  const update = { campaign_id, vin, update_id: randomUUIDv7(), ...change };
  await move({ ...update, from: null, to: "pending" });
  await move({ ...update, to: "downloading" });
  await move({ ...update, from: "downloading", to: "installing" });
  await move({ ...update, from: "installing", to: end });
  return update.update_id;
}

const rowOf = (campaign_id: string, vin: string) =>
  own.db
    .selectFrom("campaign_vehicle")
    .selectAll()
    .where("campaign_id", "=", campaign_id)
    .where("vin", "=", vin)
    .executeTakeFirst();

/** Sums of the counters, by type of ECU; '' for whole vehicles. */
async function counters(campaign_id: string): Promise<Record<string, Counts>> {
  const rows = await own.db
    .selectFrom("campaign_counter")
    .selectAll()
    .where("campaign_id", "=", campaign_id)
    .execute();
  const sums: Record<string, Counts> = {};
  for (const row of rows) {
    const sum = (sums[row.ecu_type] ??= nothing());
    for (const each of counted) sum[each] += row[each];
  }
  return sums;
}

/** What the counters must be by the vehicles' rows. */
async function recounted(campaign_id: string): Promise<Record<string, Counts>> {
  const rows = await own.db
    .selectFrom("campaign_vehicle")
    .selectAll()
    .where("campaign_id", "=", campaign_id)
    .execute();
  const sums: Record<string, Counts> = {};
  for (const { ecu_type, counts } of rows.flatMap((row) => difference(undefined, row))) {
    const sum = (sums[ecu_type] ??= nothing());
    for (const each of counted) sum[each] += counts[each];
  }
  return sums;
}

const eventsOf = async (campaign_id: string) =>
  (
    await own.db
      .selectFrom("event")
      .select(["kind", "vin", "data"])
      .where("subject", "=", campaign_id)
      .orderBy("event_id")
      .execute()
  ).map(({ kind, vin, data }) => [kind, vin, data["status"]]);

describe("an update of a campaign", () => {
  it("makes the vehicle take part, and counts it as a whole and by its ECUs", async () => {
    const [campaign, vin] = [await insertRunning(own.db, [brake]), fresh()];
    await showEcus(own.db, vin, ecusAt("2.0.0"));
    const update_id = await carryOut(campaign, vin, "success");
    expect(await rowOf(campaign, vin)).toMatchObject({
      status: "succeeded",
      wave: 0,
      update_id,
      attempts: 1,
    });
    const one = { ...nothing(), started: 1, succeeded: 1 };
    expect(await counters(campaign)).toEqual({ "": one, brake: one });
    expect(touched).toContain(campaign);
  });

  it("counts nothing twice that comes twice, late or out of order", async () => {
    const [campaign, vin] = [await insertRunning(own.db, [brake]), fresh()];
    await showEcus(own.db, vin, ecusAt("2.0.0"));
    const update_id = await carryOut(campaign, vin, "success");
    const before = await counters(campaign);
    for (const to of ["failed", "success", "downloading", "deferred"] as const) {
      await move({ campaign_id: campaign, vin, update_id, from: "installing", to });
    }
    await report(vin, ecusAt("2.0.0"));
    expect(await counters(campaign)).toEqual(before);
  });

  it("is no success before the last bundle is there", async () => {
    const [campaign, vin] = [await insertRunning(own.db, [brake, lights]), fresh()];
    await showEcus(own.db, vin, ecusAt("2.0.0"));
    await carryOut(campaign, vin, "success");
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "waiting" });
    await showEcus(own.db, vin, ecusAt("2.0.0", "2.0.0"));
    await carryOut(campaign, vin, "success", { targets: [targetOf(lights)] });
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "succeeded", attempts: 2 });
    const one = { ...nothing(), started: 1, succeeded: 1 };
    expect(await counters(campaign)).toEqual({ "": one, brake: one, lights: one });
  });

  it("that fails is told of, and charged to the ECU that it failed by", async () => {
    const [campaign, vin] = [await insertRunning(own.db, [brake, lights]), fresh()];
    await carryOut(campaign, vin, "rolled_back", {
      targets: [targetOf(brake), targetOf(lights)],
      ecu_id: "ECU_003",
      error: { code: "FLASH_FAILED", message: "no answer" },
    });
    expect(await counters(campaign)).toEqual({
      "": { ...nothing(), started: 1, rolled_back: 1 },
      brake: { ...nothing(), started: 1 },
      lights: { ...nothing(), started: 1, rolled_back: 1 },
    });
    expect(await eventsOf(campaign)).toEqual([["campaign.vehicle_failed", vin, "rolled_back"]]);
  });

  it("that is deferred, given up before it began, or replaced, counts as neither", async () => {
    const campaign = await insertRunning(own.db, [brake]);
    for (const to of ["deferred", "expired", "cancelled"] as const) {
      const update = { campaign_id: campaign, vin: fresh(), update_id: randomUUIDv7() };
      await move({ ...update, from: null, to: "pending" });
      await move({ ...update, to });
    }
    expect((await counters(campaign))[""]).toEqual({ ...nothing(), started: 3 });
  });

  it("of no campaign is none of its business", async () => {
    const vin = fresh();
    touched.length = 0;
    await move({ campaign_id: null, vin, from: null, to: "pending" });
    await move({ campaign_id: randomUUIDv7(), vin, from: null, to: "pending" });
    expect(touched).toEqual([]);
  });
});

describe("a later VCI", () => {
  async function succeeded(change = {}) {
    const [campaign, vin] = [await insertRunning(own.db, [brake], change), fresh()];
    await showEcus(own.db, vin, ecusAt("2.0.0"));
    const { update_id } = await insertUpdate(campaign, vin);
    await carryOut(campaign, vin, "success", { update_id });
    return { campaign, vin };
  }
  /** As the updates slice keeps it. */
  async function insertUpdate(campaign_id: string, vin: string) {
    const package_id = `package-${randomUUIDv7()}`;
    await own.db
      .insertInto("package")
      .values({
        package_id,
        manifest: Buffer.alloc(0),
        signatures: Buffer.alloc(0),
        size: 1,
        sha256: "",
        zones: "[]",
      })
      .execute();
    const update = { update_id: randomUUIDv7(), vin, package_id, campaign_id };
    const targets = JSON.stringify([targetOf(brake)]);
    await own.db
      .insertInto("vehicle_update")
      .values({ ...update, status: "success", targets })
      .execute();
    return update;
  }

  it("takes success back from a vehicle that has fallen back, and counts the failure", async () => {
    const { campaign, vin } = await succeeded();
    await report(vin, ecusAt("1.0.0"));
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "rolled_back" });
    const one = { ...nothing(), started: 1, rolled_back: 1 };
    expect(await counters(campaign)).toEqual({ "": one, brake: one });
    expect(await eventsOf(campaign)).toEqual([
      ["campaign.vehicle_reopened", vin, "rolled_back"],
      ["campaign.vehicle_failed", vin, "rolled_back"],
    ]);
  });

  it("opens a vehicle again that runs what nobody published", async () => {
    const { campaign, vin } = await succeeded({ soak_min: 5 });
    await report(vin, ecusAt("0.0.7"));
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "waiting", soak_until: null });
    expect((await counters(campaign))[""]).toEqual({ ...nothing(), started: 1 });
    expect(await eventsOf(campaign)).toEqual([["campaign.vehicle_reopened", vin, "waiting"]]);
  });

  it("says nothing of a campaign that is over", async () => {
    const { campaign, vin } = await succeeded();
    await own.db
      .updateTable("campaign")
      .set({ state: "finished" })
      .where("campaign_id", "=", campaign)
      .execute();
    await report(vin, ecusAt("1.0.0"));
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "succeeded" });
  });

  it("lets a vehicle that was late with one step go on with the next", async () => {
    const after = await insertFirmware(own.db, { version: "3.0.0" });
    const [campaign, vin] = [await insertRunning(own.db, [brake, after]), fresh()];
    const { update_id } = await insertUpdate(campaign, vin);
    const error = { code: "UPDATE_DEADLINE", message: "" };
    await carryOut(campaign, vin, "failed", { update_id, error });
    await report(vin, ecusAt("1.0.0"));
    expect((await counters(campaign))[""]).toMatchObject({ failed: 1, silent: 1 });
    await report(vin, ecusAt("2.0.0"));
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "waiting", reason: null });
    const one = { ...nothing(), started: 1 };
    expect(await counters(campaign)).toEqual({ "": one, brake: one });
  });

  it("shows that a vehicle has gone back after all, also when the campaign is over", async () => {
    const { campaign, vin } = await succeeded();
    const reason = JSON.stringify({ code: "CAMPAIGN_ROLLBACK_FAILED", detail: "" });
    const ofVehicle = own.db.updateTable("campaign_vehicle").set({ reason });
    await ofVehicle.where("campaign_id", "=", campaign).execute();
    const stopped = own.db.updateTable("campaign").set({ state: "stopped" });
    await stopped.where("campaign_id", "=", campaign).execute();
    await report(vin, ecusAt("2.0.0"));
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "succeeded" });
    await report(vin, ecusAt("1.0.0"));
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "reverted", reason: null });
    const one = { ...nothing(), started: 1, reverted: 1 };
    expect(await counters(campaign)).toEqual({ "": one, brake: one });
  });

  it("and new DTCs of an update that succeeded take it back", async () => {
    const [campaign, vin] = [await insertRunning(own.db, [brake], { new_dtcs: "count" }), fresh()];
    await showEcus(own.db, vin, ecusAt("2.0.0"));
    const { update_id } = await insertUpdate(campaign, vin);
    const dtcs = [{ ecu_id: "ECU_001", code: "P0601-00" }];
    const tell = () =>
      own.db.transaction().execute(async (tx) => {
        await lockVehicle(tx, vin);
        await progress.newDtcs(tx, { update_id, vin }, dtcs);
      });
    await tell();
    expect(await rowOf(campaign, vin)).toBeUndefined();
    await carryOut(campaign, vin, "success", { update_id });
    await tell();
    await tell();
    expect(await rowOf(campaign, vin)).toMatchObject({ status: "failed", dtcs });
    const one = { ...nothing(), started: 1, failed: 1, new_dtcs: 1 };
    expect(await counters(campaign)).toEqual({ "": one, brake: one });
  });
});

it("loses no count and waits for nobody for ever while many vehicles end at once", async () => {
  const campaign = await insertRunning(own.db, [brake, lights]);
  // Of ECUs in either order, each vehicle through two bundles, and back again.
  const [one, other] = [targetOf(brake), targetOf(lights)];
  await Promise.all(
    vins.map(async (vin, index) => {
      const targets = index % 2 === 0 ? [one, other] : [other, one];
      const end = index % 3 === 0 ? "failed" : "success";
      await showEcus(own.db, vin, ecusAt("2.0.0", "2.0.0"));
      await carryOut(campaign, vin, "cancelled", { targets: targets.slice(0, 1) });
      await carryOut(campaign, vin, end, { targets });
      await report(vin, ecusAt("2.0.0", index % 4 === 0 ? "0.0.7" : "2.0.0"));
    }),
  );
  const found = await counters(campaign);
  expect(found).toEqual(await recounted(campaign));
  expect(found[""]).toEqual({ ...nothing(), started: 24, failed: 8, succeeded: 12 });
});
