import { describe, expect, it } from "vitest";
import { createBatcher } from "#server/database/batch.ts";

/** A store that holds each batch until the test lets it go. */
function heldStore(maxItems: number, lanes = 1) {
  const batches: { items: number[]; commit: () => void; fail: (error: Error) => void }[] = [];
  const arrivals: (() => void)[] = [];
  const batcher = createBatcher<number>({
    maxItems,
    lanes,
    flush: (items) =>
      new Promise((commit, fail) => {
        batches.push({ items, commit, fail });
        arrivals.shift()?.();
      }),
  });
  return {
    batcher,
    batches,
    /** The next batch that reaches the store. */
    next: async () => {
      if (batches.length === 0) await new Promise<void>((arrived) => arrivals.push(arrived));
      const batch = batches.shift();
      if (batch === undefined) throw new Error("no batch came");
      return batch;
    },
  };
}

describe("createBatcher", () => {
  it("stores what comes together in one batch, in order", async () => {
    const { batcher, next } = heldStore(10);
    const pushed = [1, 2, 3].map((item) => batcher.push(item));
    const batch = await next();
    expect(batch.items).toEqual([1, 2, 3]);
    batch.commit();
    await Promise.all(pushed);
  });

  it("answers only after the commit", async () => {
    const { batcher, next } = heldStore(10);
    const events: string[] = [];
    const pushed = batcher.push(1).finally(() => events.push("answered"));
    const batch = await next();
    await new Promise((turn) => setImmediate(turn));
    events.push("committed");
    batch.commit();
    await pushed;
    expect(events).toEqual(["committed", "answered"]);
  });

  it("gathers the next batch while one is being stored, and never stores two at once", async () => {
    const { batcher, batches, next } = heldStore(10);
    const first = batcher.push(1);
    const batch = await next();
    const later = [2, 3].map((item) => batcher.push(item));
    await new Promise((turn) => setImmediate(turn));
    expect(batches).toEqual([]);
    batch.commit();
    await first;
    const second = await next();
    expect(second.items).toEqual([2, 3]);
    second.commit();
    await Promise.all(later);
  });

  it("stores as many batches at once as it has lanes, and not one more", async () => {
    const { batcher, batches, next } = heldStore(10, 2);
    const first = batcher.push(1);
    const one = await next();
    const second = batcher.push(2);
    const two = await next();
    const third = batcher.push(3);
    await new Promise((turn) => setImmediate(turn));
    expect(batches).toEqual([]);
    two.commit();
    await second;
    const three = await next();
    expect([one, two, three].map(({ items }) => items)).toEqual([[1], [2], [3]]);
    three.fail(new Error("database down"));
    await expect(third).rejects.toThrow("database down");
    one.commit();
    await first;
  });

  it("bounds a batch, keeping the order over all of them, one at a time", async () => {
    const { batcher, batches, next } = heldStore(4);
    const pushed = Array.from({ length: 10 }, (_, item) => batcher.push(item));
    const stored: number[][] = [];
    while (stored.flat().length < 10) {
      const batch = await next();
      stored.push(batch.items);
      await new Promise((turn) => setImmediate(turn));
      expect(batches).toEqual([]);
      batch.commit();
    }
    await Promise.all(pushed);
    expect(stored).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
  });

  it("fails the senders of a batch that failed, and only those", async () => {
    const { batcher, next } = heldStore(2);
    const pushed = [1, 2, 3].map((item) => batcher.push(item));
    const settled = Promise.allSettled(pushed);
    (await next()).fail(new Error("database down"));
    (await next()).commit();
    expect((await settled).map(({ status }) => status)).toEqual([
      "rejected",
      "rejected",
      "fulfilled",
    ]);
    const again = batcher.push(4);
    (await next()).commit();
    await expect(again).resolves.toBeUndefined();
  });
});
