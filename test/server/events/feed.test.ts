import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { emit, emitAll } from "#server/events/outbox.ts";
import { createEventFeed } from "#server/events/feed.ts";
import {
  eventsAfter,
  eventsBefore,
  lastPosition,
  START,
  type Position,
} from "#server/events/queries.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { untilSettled } from "./until-settled.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

const tell = (...subjects: string[]) =>
  own.db.transaction().execute((tx) =>
    emitAll(
      tx,
      subjects.map((subject) => ({ kind: "update.finished", vin: "VMG-001", subject })),
    ),
  );

async function end(): Promise<Position> {
  await untilSettled(own.db);
  return lastPosition(own.db);
}

/** What is handed out at once. */
async function readNow(after: Position): Promise<(string | null)[]> {
  const events = await eventsAfter(own.db, {}, { after, limit: 1000 });
  return events.map(({ subject }) => subject);
}

async function read(after: Position): Promise<(string | null)[]> {
  await untilSettled(own.db);
  return readNow(after);
}

describe("events", () => {
  it("come with what was told, in the order of their transactions", async () => {
    await own.db.transaction().execute(async (tx) => {
      await emit(tx, { kind: "campaign.stopped", subject: "c", data: { why: { rate: 0.2 } } });
      await emit(tx, { kind: "vehicle.offline", vin: "VMG-002" });
    });
    await untilSettled(own.db);
    expect(await eventsAfter(own.db, {}, { after: START, limit: 10 })).toEqual([
      expect.objectContaining({
        kind: "campaign.stopped",
        vin: null,
        subject: "c",
        data: { why: { rate: 0.2 } },
      }),
      expect.objectContaining({ kind: "vehicle.offline", vin: "VMG-002", subject: null, data: {} }),
    ]);
    await tell("1");
    const after = await end();
    await tell("2", "3");
    expect(await read(after)).toEqual(["2", "3"]);
    const newest = await eventsBefore(own.db, {}, { before: undefined, limit: 2 });
    expect(newest.map(({ subject }) => subject)).toEqual(["3", "2"]);
  });

  it("are not told of when their transaction fails", async () => {
    const after = await end();
    const failing = own.db.transaction().execute(async (tx) => {
      await emit(tx, { kind: "update.started", subject: "never" });
      throw new Error("changed my mind");
    });
    await expect(failing).rejects.toThrow("changed my mind");
    expect(await read(after)).toEqual([]);
  });

  it("are not passed by others that commit before them", async (context) => {
    if (own.kind === "embedded") context.skip("the embedded database has one session");
    const after = await end();
    const early = await own.db.startTransaction().execute();
    await emit(early, { kind: "update.started", subject: "early" });
    await tell("late");
    expect(await readNow(after)).toEqual([]);
    await early.commit().execute();
    expect(await read(after)).toEqual(["early", "late"]);
  });

  it("fit a filter", async () => {
    const after = await end();
    await own.db.transaction().execute((tx) =>
      emitAll(tx, [
        { kind: "update.started", vin: "A", subject: "1" },
        { kind: "update.finished", vin: "A", subject: "1" },
        { kind: "update.started", vin: "B", subject: "2" },
      ]),
    );
    await untilSettled(own.db);
    const count = async (filter: object) =>
      (await eventsAfter(own.db, filter, { after, limit: 10 })).length;
    expect(await count({ kind: "update.started" })).toBe(2);
    expect(await count({ vin: "A" })).toBe(2);
    expect(await count({ subject: "2" })).toBe(1);
    expect(await count({ kind: "update.started", vin: "A", subject: "1" })).toBe(1);
    expect(await count({ kind: "update.started", vin: "A", subject: "2" })).toBe(0);
  });
});

describe("who follows events", () => {
  it("gets each once: those before, and those that come, also many at once", async () => {
    const feed = createEventFeed({ db: own.db, pollMs: 10, log: silentLog });
    const after = await end();
    await tell("first");
    const stop = new AbortController();
    const id = `${after.txid}-${after.event_id}`;
    const finished = feed.follow({ kind: "update.finished" }, id, stop.signal);
    const following = finished[Symbol.asyncIterator]();
    const next = async () => (await following.next()).value?.subject as string | undefined;
    expect(await next()).toBe("first");
    const coming = next();
    const many = Array.from({ length: 250 }, (_, index) => `many ${index}`);
    await tell(...many);
    const seen = [await coming];
    while (seen.length < many.length) seen.push(await next());
    expect(seen).toEqual(many);
    const ending = following.next();
    stop.abort();
    expect((await ending).done).toBe(true);
    feed.stop();
  });

  it("begins with now, and goes on though what it named is not there, or not yet", async () => {
    const feed = createEventFeed({ db: own.db, pollMs: 10, log: silentLog });
    const stop = new AbortController();
    const heard = new Set<string | undefined>();
    const listen = async (after: string | undefined) => {
      for await (const { subject } of feed.follow({}, after, stop.signal)) {
        expect(subject).toBe("now");
        heard.add(after);
      }
    };
    const listening = [undefined, "999999999999999999-1"].map(listen);
    await expect
      .poll(async () => {
        await tell("now");
        return heard.size;
      })
      .toBe(2);
    stop.abort();
    await Promise.all(listening);
    feed.stop();
  });
});
