import { createHash } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { beginAttempt, endAttempts, takeBackAttempt } from "#server/operators/login-queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

const named = (name: string) => createHash("sha256").update(name).digest();

/** As if it was so long ago that the name was looked at. */
async function pass(hash: Buffer, seconds: number): Promise<void> {
  const interval = sql`${seconds} * interval '1 second'`;
  await sql`update operator_login set last_at = last_at - ${interval},
    locked_until = locked_until - ${interval} where name_sha256 = ${hash}`.execute(own.db);
}

/** How long it is locked by an attempt that comes in its time, in seconds. */
async function attempt(hash: Buffer): Promise<number> {
  const began = await beginAttempt(own.db, hash);
  expect(began.mayTry).toBe(true);
  if (!began.mayTry || began.locksUntil === null) return 0;
  const after = await beginAttempt(own.db, hash);
  return after.mayTry ? 0 : after.retryAfterS;
}

describe("a name whose logins fail", () => {
  it("is locked by the fifth for half a minute, then twice as long each time, never for good", async () => {
    const hash = named("one");
    const locks: number[] = [];
    for (let each = 0; each < 14; each++) {
      const seconds = await attempt(hash);
      locks.push(seconds);
      await pass(hash, seconds);
    }
    expect(locks).toEqual([0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900, 900, 900]);
  });

  it("has no more tries when they come all at once", async () => {
    const hash = named("two");
    const all = await Promise.all(Array.from({ length: 20 }, () => beginAttempt(own.db, hash)));
    expect(all.filter(({ mayTry }) => mayTry)).toHaveLength(5);
    expect(all.filter((each) => !each.mayTry && each.retryAfterS === 30)).toHaveLength(15);
  });

  it("begins anew after a login, and after a day without any", async () => {
    const hash = named("three");
    for (let each = 0; each < 4; each++) expect(await attempt(hash)).toBe(0);
    await endAttempts(own.db, hash);
    for (let each = 0; each < 4; each++) expect(await attempt(hash)).toBe(0);
    await pass(hash, 86_401);
    for (let each = 0; each < 4; each++) expect(await attempt(hash)).toBe(0);
    expect(await attempt(hash)).toBe(30);
  });

  it("waits for no longer than the longest lock when the clock is set back", async () => {
    const hash = named("five");
    for (let each = 0; each < 4; each++) expect(await attempt(hash)).toBe(0);
    expect(await attempt(hash)).toBe(30);
    await pass(hash, -600);
    expect(await beginAttempt(own.db, hash)).toEqual({ mayTry: false, retryAfterS: 630 });
    await pass(hash, -86_400);
    // It goes on as if the lock had just ended.
    expect(await attempt(hash)).toBe(60);
  });

  it("does not pay for an attempt that nobody looked at", async () => {
    const hash = named("four");
    for (let each = 0; each < 20; each++) {
      expect(await beginAttempt(own.db, hash)).toMatchObject({ mayTry: true });
      await takeBackAttempt(own.db, hash);
    }
    expect(await attempt(hash)).toBe(0);
  });
});
