import { setTimeout as delay } from "node:timers/promises";
import { createBatcher } from "#server/database/batch.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import { createWaiters } from "#server/runtime/waiters.ts";
import { createAttempts } from "./attempts.ts";
import * as queries from "./delivery-queries.ts";
import type { Claim, DueWebhook } from "./delivery-queries.ts";
import { emit } from "./outbox.ts";
import {
  bodyOf,
  pauseAfter,
  restAfter,
  retryAfter,
  signedHeaders,
  type Retries,
} from "./webhook.ts";
import { fanOut } from "./webhook-queries.ts";
import { createSender, type Answer, type SenderSettings } from "./webhook-sender.ts";

export interface DispatcherDeps {
  db: Db;
  settings: SenderSettings & Retries;
  /** How often due deliveries are looked for. */
  pollMs: number;
  log: Log;
  now?: () => Date;
  /** In [0, 1). */
  random?: () => number;
}

/** Tells webhooks what happens, together with the dispatchers of other gateways. */
export interface Dispatcher {
  /** Goes on by itself from here on. */
  start(): void;
  /** Begins with what is due now. */
  round(): Promise<void>;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
  /** Looks for what is due at once. */
  wake(): void;
  /** Begins nothing new, and waits a little for what is under way. */
  stop(): Promise<void>;
}

/** Events that are given to webhooks by one statement. */
const EVENTS_AT_ONCE = 1000;
/** A claim outlasts its attempt by so much. */
const LEASE_MARGIN_MS = 20_000;
const STOP_MS = 2000;

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { db, settings, pollMs, log, now = () => new Date() } = deps;
  const sender = createSender(settings);
  const waiters = createWaiters();
  const attempts = createAttempts(settings.concurrency);
  const settle = settling(deps);
  let running: Promise<void> | undefined;
  let stopped = false;
  let cutOff = false;

  async function round(): Promise<void> {
    while ((await fanOut(db, now(), EVENTS_AT_ONCE)) === EVENTS_AT_ONCE && !stopped);
    const due = await queries.dueWebhooks(db, now());
    // One that is slow waits for the others, not they for it.
    const order = due.toSorted(
      (a, b) => attempts.countOf(a.webhook_id) - attempts.countOf(b.webhook_id),
    );
    for (const webhook of order) {
      const limit = attempts.freeFor(webhook);
      if (limit <= 0 || stopped) continue;
      const at = now();
      const until = new Date(at.getTime() + settings.timeout_ms + LEASE_MARGIN_MS);
      const claims = await queries.claim(db, webhook.webhook_id, { now: at, until, limit });
      for (const each of claims) attempts.add(webhook, tryOnce(webhook, each));
    }
  }

  async function tryOnce(webhook: DueWebhook, claim: Claim): Promise<void> {
    const body = bodyOf(claim.event);
    const headers = signedHeaders(claim.event.id, body, webhook.secrets, now());
    const answer = await sender.post(webhook.url, headers, body);
    if (cutOff) return;
    try {
      await settle(webhook, claim, answer);
    } catch (error) {
      // It is tried again when its claim has ended.
      log.error({ err: error, webhook: webhook.webhook_id }, "A delivery could not be noted");
    }
    if (attempts.countOf(webhook.webhook_id) <= settings.concurrency / 2 + 1) waiters.wake("due");
  }

  async function run(): Promise<void> {
    while (!stopped) {
      const woken = waiters.wait("due", pollMs);
      try {
        await round();
      } catch (error) {
        if (!stopped) log.error({ err: error }, "Webhooks could not be served; trying again");
        await delay(pollMs, undefined, { ref: false });
      }
      await woken;
    }
  }

  return {
    start() {
      running ??= run();
    },
    round,
    idle: () => attempts.idle(),
    wake: () => waiters.wake("due"),
    async stop() {
      stopped = true;
      waiters.stop();
      await running;
      await Promise.race([attempts.idle(), delay(STOP_MS, undefined, { ref: false })]);
      cutOff = true;
      await sender.close();
      await attempts.idle();
    },
  };
}

const GONE = 410;

/** Notes what has come of an attempt. */
function settling({
  db,
  settings,
  log,
  now = () => new Date(),
  random = Math.random,
}: DispatcherDeps) {
  const delivered = createBatcher<Parameters<typeof queries.markDelivered>[1][number]>({
    maxItems: 500,
    flush: (items) => queries.markDelivered(db, items),
  });

  return async function settle(webhook: DueWebhook, claim: Claim, answer: Answer): Promise<void> {
    const { webhook_id } = webhook;
    const { status } = answer;
    if (status !== null && status >= 200 && status < 300) {
      return delivered.push({ delivery_id: claim.delivery_id, webhook_id, status });
    }
    await db.transaction().execute((tx) => fail(tx, webhook, claim, answer));
  };

  async function fail(
    tx: Tx,
    { webhook_id }: DueWebhook,
    { delivery_id, attempts }: Claim,
    { status, error, retryAfter: asked }: Answer,
  ): Promise<void> {
    // Locks the webhook before its delivery, as whoever deletes it does.
    const failures = await queries.countFailure(tx, webhook_id);
    if (failures === undefined) return;
    const at = now();
    const wait = Math.max(pauseAfter(attempts, settings, random), retryAfter(asked, at));
    const isLast = attempts >= settings.attempts || status === GONE;
    await queries.markFailed(tx, {
      webhook_id,
      delivery_id,
      attempts,
      answered: status,
      error: error ?? `it answered ${status}`,
      again: isLast ? undefined : new Date(at.getTime() + wait),
    });
    const rest = restAfter(failures, settings, random);
    if (rest > 0) await queries.restWebhook(tx, webhook_id, new Date(at.getTime() + rest));
    if (status === GONE) await queries.disableWebhook(tx, webhook_id, "it answered 410 Gone");
    if (!isLast || !(await queries.markDead(tx, webhook_id, at))) return;
    log.warn({ webhook: webhook_id }, "Deliveries to a webhook are given up");
    await emit(tx, { kind: "webhook.dead", subject: webhook_id, data: { delivery_id } });
  }
}
