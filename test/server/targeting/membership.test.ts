import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reachedOf, share, shareOf } from "#server/targeting/membership.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
const vins = Array.from({ length: 2000 }, (_, i) => `VMG-${i}`);

beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

describe("a vehicle's share", () => {
  it("is what anybody computes", () => {
    // printf '%s' 'salt:VMG-001' | sha256sum
    expect(share("salt", "VMG-001") * 2 ** 32).toBe(0x45665a5b);
  });

  it("is the same in the database", async () => {
    const salt = randomUUID();
    const { rows } = await sql<{ vin: string; share: number }>`
      select vin, ${shareOf(salt, sql.ref("vin"))} as share from unnest(${vins}::text[]) as each (vin)
    `.execute(own.db);
    expect(rows).toEqual(vins.map((vin) => ({ vin, share: share(salt, vin) })));
  });

  it("has reached in the database the bounds that it has reached here", async () => {
    const [first = 0, second = 0] = vins.map((vin) => share("s", vin)).toSorted((a, b) => a - b);
    for (const bounds of [[0.1, 0.5, 1], [0, second], [first], [1], [], [0.3, 1.000001]]) {
      const { rows } = await sql<{ vin: string; reached: number }>`
        select vin, ${reachedOf("s", sql.ref("vin"), bounds)} as reached
        from unnest(${vins}::text[]) as each (vin)
      `.execute(own.db);
      expect(rows).toEqual(
        vins.map((vin) => ({
          vin,
          reached: bounds.filter((bound) => share("s", vin) >= bound).length,
        })),
      );
    }
  });

  it("spreads vehicles evenly, and by another salt otherwise", () => {
    const below = (salt: string) => vins.filter((vin) => share(salt, vin) < 0.25);
    for (const salt of ["a", "b"]) {
      // Five standard deviations of a binomial distribution: a fixed input, so a fixed answer.
      expect(Math.abs(below(salt).length - 500)).toBeLessThan(5 * Math.sqrt(2000 * 0.25 * 0.75));
    }
    const others = new Set(below("b"));
    const both = below("a").filter((vin) => others.has(vin)).length;
    expect(Math.abs(both - 125)).toBeLessThan(60);
  });
});
