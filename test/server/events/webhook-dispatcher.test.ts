import { randomUUIDv7 } from "node:crypto";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { emit, emitAll } from "#server/events/outbox.ts";
import { newSecret, printSecret } from "#server/events/webhook.ts";
import { createDispatcher, type Dispatcher } from "#server/events/webhook-dispatcher.ts";
import * as queries from "#server/events/webhook-queries.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { untilSettled } from "./until-settled.ts";
import { isProven, receiver, type Received } from "./receiver.ts";

const HOUR = 3_600_000;
const settings = {
  allow_private: true,
  timeout_ms: 10_000,
  concurrency: 8,
  attempts: 3,
  retry_first_s: 5,
  retry_max_s: 60,
};

let own: OwnDatabase;
let time: Date;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(async () => {
  for (const close of closing) await close();
  await own.remove();
});
beforeEach(async () => {
  time = new Date("2026-06-01T00:00:00Z");
  await own.db.deleteFrom("webhook").execute();
});

/** A clock of the test's own, and by chance the shortest pauses. */
function dispatcher(more: Partial<typeof settings> = {}): Dispatcher {
  const made = createDispatcher({
    db: own.db,
    settings: { ...settings, ...more },
    pollMs: 10,
    log: silentLog,
    now: () => time,
    random: () => 0.99,
  });
  closing.push(() => made.stop());
  return made;
}

async function listener(answer: (response: ServerResponse, received: Received) => void) {
  const made = await receiver(answer);
  closing.push(() => made.close());
  return made;
}

async function webhook(url: string, more: { kinds?: string[]; vin?: string } = {}) {
  const secret = newSecret();
  const { kinds = [], vin = null } = more;
  const webhook_id = randomUUIDv7();
  const row = { webhook_id, url, description: null, kinds, vin, secret };
  await queries.insertWebhook(own.db, { ...row, active: true, created_by: "test" }, 100);
  return { webhook_id, secret: printSecret(secret) };
}

async function tell(kind: string, subject: string, vin?: string): Promise<void> {
  await own.db
    .transaction()
    .execute((tx) => emit(tx, { kind, subject, vin, data: { text: "Größe" } }));
  await untilSettled(own.db);
}

async function tried(each: Dispatcher): Promise<void> {
  await each.round();
  await each.idle();
}

async function onlyDelivery(webhookId: string) {
  const rows = await queries.listDeliveries(own.db, webhookId, { limit: 10 });
  expect(rows).toHaveLength(1);
  return rows[0];
}

const later = (ms: number) => new Date(time.getTime() + ms);

describe("a webhook", () => {
  it("is told of what fits it, signed as Standard Webhooks says, by one of two gateways", async () => {
    const all = await listener((response) => response.end());
    const some = await listener((response) => response.end());
    const { secret, webhook_id } = await webhook(all.url);
    await webhook(some.url, { kinds: ["campaign.*", "update.finished"], vin: "A" });
    await tell("update.started", "1", "A");
    await tell("update.finished", "2", "A");
    await tell("update.finished", "3", "B");
    await tell("campaign.stopped", "4", "A");
    await tell("campaign.stopped", "5");
    const gateways = [dispatcher(), dispatcher()];
    await Promise.all(gateways.map(tried));
    await Promise.all(gateways.map(tried));
    const subjects = (each: typeof all) => new Set(each.received.map(({ event }) => event.subject));
    expect(subjects(all)).toEqual(new Set(["1", "2", "3", "4", "5"]));
    expect(subjects(some)).toEqual(new Set(["2", "4"]));
    expect(all.received).toHaveLength(5);
    for (const received of all.received) {
      expect(isProven(secret, received, time)).toBe(true);
      expect(isProven(printSecret(newSecret()), received, time)).toBe(false);
      expect(isProven(secret, { ...received, body: `${received.body} ` }, time)).toBe(false);
      expect(received.headers["webhook-id"]).toBe(received.event.id);
      expect(received.headers["content-type"]).toBe("application/json");
      expect(Object.keys(received.event)).toEqual(["id", "kind", "at", "vin", "subject", "data"]);
    }
    const done = await queries.listDeliveries(own.db, webhook_id, { limit: 10 });
    expect(done.map(({ status, answered }) => ({ status, answered }))).toEqual(
      Array.from({ length: 5 }, () => ({ status: "delivered", answered: 200 })),
    );
  });

  it("is told of what happens from its making on, and not while it is out of use", async () => {
    const hook = await listener((response) => response.end());
    await tell("update.finished", "before");
    const { webhook_id } = await webhook(hook.url);
    const gateway = dispatcher();
    await tell("update.finished", "first");
    await tried(gateway);
    await queries.changeWebhook(own.db, webhook_id, { active: false });
    await tell("update.finished", "meanwhile");
    await tried(gateway);
    await queries.changeWebhook(own.db, webhook_id, { active: true });
    await tell("update.finished", "second");
    await tried(gateway);
    expect(hook.received.map(({ event }) => event.subject)).toEqual(["first", "second"]);
  });

  it("gets a delivery that failed again, later each time, until it is given up", async () => {
    const hook = await listener((response) => response.writeHead(503).end("busy"));
    const { webhook_id } = await webhook(hook.url);
    const gateway = dispatcher();
    await tell("update.finished", "1");
    await tried(gateway);
    const [first, second] = [later(2525), later(2525 + 7575)];
    expect(await onlyDelivery(webhook_id)).toMatchObject({
      status: "waiting",
      attempts: 1,
      answered: 503,
      due_at: first.toISOString(),
    });
    time = new Date(first.getTime() - 1);
    await tried(gateway);
    expect(hook.received).toHaveLength(1);
    time = first;
    await tried(gateway);
    expect(await onlyDelivery(webhook_id)).toMatchObject({ due_at: second.toISOString() });
    time = second;
    await tried(gateway);
    expect(await onlyDelivery(webhook_id)).toMatchObject({
      status: "dead",
      attempts: 3,
      due_at: null,
      error: "it answered 503",
    });
    time = later(HOUR);
    await tried(gateway);
    expect(hook.received).toHaveLength(3);
    // The same event, however often it comes.
    expect(new Set(hook.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);

    const told = own.db.selectFrom("event").where("kind", "=", "webhook.dead").selectAll();
    expect((await told.execute()).map(({ subject }) => subject)).toEqual([webhook_id]);
    // It is not told of its own failure.
    expect(await onlyDelivery(webhook_id)).toMatchObject({ kind: "update.finished" });

    const again = { now: time, limit: 10 };
    expect(await queries.redeliver(own.db, webhook_id, again)).toBe(1);
    await tried(gateway);
    expect(hook.received).toHaveLength(4);
  });

  it("says itself when to come again, or never", async () => {
    const answers = [429, 410];
    const hook = await listener((response) =>
      response.writeHead(answers.shift() ?? 200, { "retry-after": "1000" }).end(),
    );
    const { webhook_id } = await webhook(hook.url);
    const gateway = dispatcher();
    await tell("update.finished", "1");
    await tried(gateway);
    expect(await onlyDelivery(webhook_id)).toMatchObject({
      due_at: later(1_000_000).toISOString(),
    });
    time = later(1_000_000);
    await tried(gateway);
    expect(await onlyDelivery(webhook_id)).toMatchObject({ status: "dead", answered: 410 });
    expect(await queries.webhookById(own.db, webhook_id)).toMatchObject({
      active: false,
      disabled_reason: "it answered 410 Gone",
    });
  });

  it("that is silent does not hold up the others", async () => {
    const silent = await listener(() => {});
    const fast = await listener((response) => response.end());
    const { webhook_id } = await webhook(silent.url);
    await webhook(fast.url);
    const subjects = Array.from({ length: 40 }, (_, index) => String(index));
    await own.db.transaction().execute((tx) =>
      emitAll(
        tx,
        subjects.map((subject) => ({ kind: "update.started", subject })),
      ),
    );
    const gateway = dispatcher();
    gateway.start();
    await fast.got(subjects.length);
    expect(silent.received).toHaveLength(settings.concurrency);
    await silent.close();
    await expect
      .poll(async () => (await queries.webhookById(own.db, webhook_id))?.failures)
      .toBeGreaterThanOrEqual(settings.concurrency);
    await gateway.stop();
    expect(new Set(fast.received.map(({ event }) => event.subject))).toEqual(new Set(subjects));
  });

  it("has so long to answer, and no more to say than fits", async () => {
    const silent = await listener(() => {});
    const endless = await listener((response) => {
      const more = () => {
        while (response.write(Buffer.alloc(65_536)));
      };
      response.on("drain", more);
      more();
    });
    const elsewhere = await listener((response) =>
      response.writeHead(307, { location: endless.url }).end(),
    );
    const [late, long, moved] = await Promise.all(
      [silent, endless, elsewhere].map(({ url }) => webhook(url)),
    );
    await tell("update.finished", "1");
    const gateway = dispatcher({ timeout_ms: 1500 });
    await tried(gateway);
    const delivery = (each: typeof late) => onlyDelivery(each?.webhook_id ?? "");
    expect(await delivery(late)).toMatchObject({ error: "no answer within 1500 ms" });
    expect(await delivery(long)).toMatchObject({ status: "delivered" });
    expect(await delivery(moved)).toMatchObject({ error: "it answered 307" });
    expect(endless.received).toHaveLength(1);
  });

  it("that has failed again and again is tried by one delivery now and then", async () => {
    const hook = await listener((response) => response.writeHead(500).end());
    const { webhook_id } = await webhook(hook.url);
    for (let index = 0; index < 20; index++) await tell("update.finished", `${index}`);
    const gateway = dispatcher({ concurrency: 1 });
    for (let round = 0; round < 10; round++) await tried(gateway);
    expect(hook.received).toHaveLength(5);
    const { rests_until } = (await queries.webhookById(own.db, webhook_id)) ?? {};
    time = new Date(rests_until ?? 0);
    await tried(gateway);
    expect(hook.received).toHaveLength(6);
  });

  it("of another gateway that has died is served when its claims have ended", async () => {
    const hook = await listener((response) => response.end());
    const { webhook_id } = await webhook(hook.url);
    await tell("update.finished", "1");
    await queries.fanOut(own.db, time, 100);
    await own.db
      .updateTable("webhook_delivery")
      .set({ attempts: 1, due_at: later(30_000) })
      .where("webhook_id", "=", webhook_id)
      .execute();
    const gateway = dispatcher();
    await tried(gateway);
    expect(hook.received).toEqual([]);
    time = later(30_000);
    await tried(gateway);
    expect(await onlyDelivery(webhook_id)).toMatchObject({ status: "delivered", attempts: 2 });
  });

  it("is signed for by both secrets while they change", async () => {
    const hook = await listener((response) => response.end());
    const { webhook_id, secret } = await webhook(hook.url);
    const next = newSecret();
    await queries.rotateSecret(own.db, webhook_id, next, later(HOUR));
    const gateway = dispatcher();
    await tell("update.finished", "1");
    await tried(gateway);
    time = later(HOUR);
    await tell("update.finished", "2");
    await tried(gateway);
    const proven = (by: string) => hook.received.map((each) => isProven(by, each, time));
    expect(hook.received).toHaveLength(2);
    expect(proven(printSecret(next))).toEqual([false, true]);
    const [first, second] = hook.received;
    const before = later(-HOUR);
    expect(first && isProven(printSecret(next), first, before)).toBe(true);
    expect(first && isProven(secret, first, before)).toBe(true);
    expect(second && isProven(secret, second, time)).toBe(false);
  });

  it("inside this network is not reached, by address or by name", async () => {
    const hook = await listener((response) => response.end());
    const byName = hook.url.replace("127.0.0.1", "localhost");
    const ids = [(await webhook(hook.url)).webhook_id, (await webhook(byName)).webhook_id];
    await tell("update.finished", "1");
    await tried(dispatcher({ allow_private: false }));
    for (const id of ids) {
      const { error } = (await onlyDelivery(id)) ?? {};
      expect(error).toContain("WEBHOOK_ADDRESS_REFUSED");
    }
    expect(hook.received).toEqual([]);
  });
});
