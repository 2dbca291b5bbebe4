import fc from "fast-check";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "#server/targeting/compile.ts";
import { parseFilter } from "#server/targeting/filter.ts";
import { eachGroup, type Group, type GroupQuery } from "#server/targeting/groups.ts";
import { share } from "#server/targeting/membership.ts";
import type { Predicate } from "#server/targeting/predicate.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import { findVehicles, targetVehicle } from "#server/targeting/vehicles.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { predicates, targetVehicles } from "./arbitrary.ts";
import { storeVehicles } from "./fleet.ts";

let own: OwnDatabase;
const special = ["A", "AB", "abc", "EU"];
const vehicles: TargetVehicle[] = fc
  .sample(targetVehicles, { numRuns: 120, seed: 7 })
  .map((vehicle, index) => ({ ...vehicle, vin: special[index] ?? `VMG-${index}` }));

beforeAll(async () => {
  own = await ownDatabase();
  await storeVehicles(own.db, vehicles);
});
afterAll(() => own.remove());

async function groupsOf(query: GroupQuery): Promise<Group[]> {
  const groups: Group[] = [];
  await eachGroup(own.db, query, (group) => groups.push(group));
  return groups;
}

const total = (groups: readonly Group[]) => groups.reduce((sum, { count }) => sum + count, 0);

describe("counting and finding vehicles in the database", () => {
  it("takes those that the predicate takes", async () => {
    await fc.assert(
      fc.asyncProperty(predicates, async (predicate: Predicate) => {
        const expected = vehicles.filter(compile(predicate)).map(({ vin }) => vin);
        expect(total(await groupsOf({ predicate, by: [] }))).toBe(expected.length);
        const { vins, next } = await findVehicles(own.db, predicate, { limit: 500 });
        expect({ vins: vins.toSorted(), next }).toEqual({ vins: expected.toSorted(), next: null });
      }),
      { numRuns: 40 },
    );
  });

  it("tells groups apart by what is asked", async () => {
    // Partly for the database to tell, partly by inventories.
    const { predicate } = parseFilter('tag == "A" or vin ~ "V*" and ecu("door").version < 2.0.0');
    const flag = { predicate, where: sql<boolean>`vehicle.vin <> 'VMG-20'` };
    const groups = await groupsOf({
      predicate: { kind: "all" },
      by: ["inventory", "model", "channel"],
      shares: [{ salt: "s", bounds: [0.25, 0.5] }],
      flags: [flag],
    });
    expect(total(groups)).toBe(vehicles.length);
    const keyOf = (...parts: unknown[]) => JSON.stringify(parts);
    const keys = new Map(
      vehicles.map((each) => {
        const bounds = [0.25, 0.5].filter((bound) => share("s", each.vin) >= bound).length;
        const isFlagged = compile(predicate)(each) && each.vin !== "VMG-20";
        const { inventory, model, channel } = each;
        return [each.vin, keyOf(inventory?.inventory_id, model, channel, [bounds], [isFlagged])];
      }),
    );
    const counts = new Map<string, number>();
    for (const { count, vins, model, region, channel, inventory, reached, flags } of groups) {
      expect(region).toBeNull();
      const key = keyOf(inventory?.inventory_id, model, channel, reached, flags);
      counts.set(key, (counts.get(key) ?? 0) + count);
      for (const vin of vins) expect(keys.get(vin)).toBe(key);
    }
    expect(counts).toEqual(
      new Map([...Map.groupBy(keys, ([, key]) => key)].map(([key, all]) => [key, all.length])),
    );
  });

  it("goes on where a page ended", async () => {
    const { predicate } = parseFilter('ecu("brake") and not channel == beta');
    const expected = vehicles.filter(compile(predicate)).map(({ vin }) => vin);
    expect(expected.length).toBeGreaterThan(10);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await findVehicles(own.db, predicate, { limit: 3, cursor });
      expect(page.vins.length).toBeLessThanOrEqual(3);
      found.push(...page.vins);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    expect(found.toSorted()).toEqual(expected.toSorted());
    expect(new Set(found).size).toBe(found.length);
  });

  it("reads a vehicle as it is", async () => {
    for (const vehicle of vehicles.slice(0, 20))
      expect(await targetVehicle(own.db, vehicle.vin)).toEqual(vehicle);
    expect(await targetVehicle(own.db, "NOBODY")).toBeUndefined();
  });

  it("is done for two at once, and for so many more who wait", async () => {
    const counted = await Promise.allSettled(
      Array.from({ length: 20 }, () => groupsOf({ predicate: { kind: "all" }, by: [] })),
    );
    const refused = counted.filter((each) => each.status === "rejected");
    expect(refused.map(({ reason }) => (reason as { code: string }).code)).toEqual([
      "FLEET_BUSY",
      "FLEET_BUSY",
    ]);
    expect(await groupsOf({ predicate: { kind: "all" }, by: [] })).toHaveLength(1);
  });

  it("gives groups a thousand at a time, however many there are", async () => {
    await sql`
      insert into vehicle (vin, model) select 'G-' || n, 'model ' || n from generate_series(1, 2500) n
    `.execute(own.db);
    const groups = await groupsOf({ ...parseFilter('vin ~ "G-*"'), by: ["model"] });
    expect(new Set(groups.map(({ model }) => model)).size).toBe(2500);
    expect(groups).toHaveLength(2500);
  });
});
