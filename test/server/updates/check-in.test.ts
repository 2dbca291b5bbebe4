import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Release } from "#server/firmware/release.ts";
import type { Releases } from "#server/firmware/release-book.ts";
import { createCheckIns, type CheckIns } from "#server/updates/check-in.ts";
import type { Offer } from "#server/updates/offer.ts";
import { inventoryOf } from "#server/vehicles/inventory.ts";
import { registerVehicle, saveVci } from "#server/vehicles/queries.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { updateDeps } from "./update-deps.ts";

let own: OwnDatabase;
let checkIns: CheckIns;
let vin: string;
let catalogue: Release[];
let revision = 0;
let offered: Offer[];
/** What the source of offers was asked. */
let asked: unknown[];
let counter = 0;

beforeAll(async () => {
  own = await ownDatabase();
  const { policies } = await updateDeps(own);
  checkIns = createCheckIns({
    db: own.db,
    releases: { current, refresh: async () => {} },
    policies,
    offers: {
      state: sql`json_build_object('seen', vehicle.vin)`,
      offers(vehicle, state) {
        asked.push([vehicle.vin, vehicle.tags, vehicle.inventory?.ecus.length, state]);
        return offered;
      },
    },
  });
});
afterAll(() => own.remove());

beforeEach(async () => {
  vin = `VMG-${++counter}`;
  catalogue = [];
  offered = [];
  asked = [];
  revision++;
  await registerVehicle(own.db, { vin });
});

function current(): Releases {
  return {
    revision,
    byType: Map.groupBy(catalogue, ({ ecu_type }) => ecu_type),
    byId: new Map(catalogue.map((each) => [each.firmware_id, each])),
  };
}

function publish(ecu_type: string, version: string, change: Partial<Release> = {}): string {
  const firmware_id = randomUUID();
  catalogue.push({
    firmware_id,
    ecu_type,
    version,
    hardware_versions: ["HW-1.0"],
    channel: "stable",
    min_current_version: null,
    requires: [],
    availability: "channel",
    critical: false,
    size: 1000,
    ...change,
  });
  revision++;
  return firmware_id;
}

const report = (versions: Record<string, string> = {}) =>
  own.db.transaction().execute((tx) =>
    saveVci(tx, vin, sampleVci(versions), {
      evidence: "unsigned",
      nonce: null,
      digest: null,
      attacks: [],
    }),
  );
const offer = (...releases: string[]): Offer => ({
  campaign_id: randomUUID(),
  wave: 0,
  releases,
  deadline_min: 30,
});
const targets = async () =>
  Object.fromEntries(
    (await checkIns.check(vin, undefined)).outdated_ecus.map((ecu) => [
      ecu.ecu_id,
      ecu.target_version,
    ]),
  );

describe("a check-in", () => {
  it("without a list of versions goes by the newest VCI", async () => {
    await expect(checkIns.check(vin, undefined)).rejects.toMatchObject({ code: "VCI_MISSING" });
    publish("brake", "1.2.0");
    await report();
    expect(await targets()).toEqual({ ECU_001: "1.2.0" });
    await report({ ECU_001: "1.2.0" });
    expect(await targets()).toEqual({});
  });

  it("with a list of versions goes by that, also before the vehicle has registered", async () => {
    publish("brake", "1.2.0");
    const { ecus } = sampleVci();
    const { outdated_ecus } = await checkIns.check("VMG-STRANGER", ecus);
    expect(outdated_ecus).toMatchObject([{ ecu_id: "ECU_001", target_version: "1.2.0" }]);
  });

  it("says under which conditions the vehicle updates", async () => {
    await report();
    const { policy } = await checkIns.check(vin, undefined);
    expect(policy).toMatchObject({ mode: "auto", consent: "not_required", window: null });
  });

  it("follows the catalogue from one to the next", async () => {
    await report();
    expect(await targets()).toEqual({});
    publish("brake", "1.2.0");
    expect(await targets()).toEqual({ ECU_001: "1.2.0" });
    publish("brake", "1.3.0");
    expect(await targets()).toEqual({ ECU_001: "1.3.0" });
  });

  it("tells what comes later, and what is held back", async () => {
    publish("brake", "2.0.0");
    publish("brake", "3.0.0", { min_current_version: "2.0.0" });
    publish("lights", "1.1.0");
    publish("lights", "1.2.0", { requires: [{ ecu_type: "steering", min_version: "9.0.0" }] });
    await report();
    const answer = await checkIns.check(vin, undefined);
    expect(answer.outdated_ecus).toMatchObject([
      { ecu_id: "ECU_001", target_version: "2.0.0", newest_version: "3.0.0" },
      { ecu_id: "ECU_003", target_version: "1.1.0" },
    ]);
    expect(answer.later).toMatchObject([[{ ecu_id: "ECU_001", target_version: "3.0.0" }]]);
    expect(answer.held).toMatchObject([
      { ecu_id: "ECU_003", newest_version: "1.2.0", reason: "REQUIREMENT_UNMET" },
    ]);
  });

  it("gives the first campaign that has something the vehicle for itself", async () => {
    publish("brake", "1.2.0");
    const steering = publish("steering", "1.5.0", { availability: "campaign" });
    const done = publish("lights", "1.0.0", { availability: "campaign" });
    await report();
    expect(await targets()).toEqual({ ECU_001: "1.2.0" });
    offered = [offer(done), offer(steering)];
    const answer = await checkIns.check(vin, undefined);
    expect(answer.campaign_id).toBe(offered[1]?.campaign_id);
    expect(answer.outdated_ecus).toMatchObject([{ ecu_id: "ECU_002", target_version: "1.5.0" }]);
    await report({ ECU_002: "1.5.0" });
    const after = await checkIns.check(vin, undefined);
    expect(after.campaign_id).toBeUndefined();
    expect(after.outdated_ecus).toMatchObject([{ ecu_id: "ECU_001" }]);
  });

  it("hands the source of offers the vehicle, and what it asked the database for", async () => {
    await own.db
      .updateTable("vehicle")
      .set({ tags: ["test-fleet"] })
      .where("vin", "=", vin)
      .execute();
    await report();
    await checkIns.check(vin, undefined);
    expect(asked).toEqual([[vin, ["test-fleet"], 3, { seen: vin }]]);
  });
});

describe("an inventory", () => {
  it("is the same for vehicles that consist of the same, whatever else they say", async () => {
    const { ecus } = sampleVci();
    const told = ecus.toReversed().map((ecu) => ({ ...ecu, serial_number: `SN-${vin}` }));
    expect(inventoryOf(told)).toEqual(inventoryOf(ecus));
    await report();
    vin = `VMG-${++counter}`;
    await registerVehicle(own.db, { vin });
    await report();
    const kept = await own.db
      .selectFrom("inventory")
      .select(sql<number>`count(*)`.as("count"))
      .where("inventory_id", "=", inventoryOf(ecus).inventory_id)
      .executeTakeFirst();
    expect(kept?.count).toBe(1);
  });

  it.each([
    { hardware_version: "HW-2.0" },
    { software_version: "1.0.1" },
    { ecu_type: "horn" },
    { zone_id: "ZG-REAR" },
  ])("is another with %o", (change) => {
    const { ecus } = sampleVci();
    const [first, ...others] = ecus;
    const other = [{ ...first, ...change } as (typeof ecus)[number], ...others];
    expect(inventoryOf(other).inventory_id).not.toBe(inventoryOf(ecus).inventory_id);
  });
});
