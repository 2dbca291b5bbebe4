import { setTimeout as delay } from "node:timers/promises";
import type { Event } from "#protocol/api/event.ts";
import type { Db } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import { createWaiters } from "#server/runtime/waiters.ts";
import { eventId, eventsAfter, lastPosition, positionOf, type EventFilter } from "./queries.ts";

/** Follows the events of every gateway. */
export interface EventFeed {
  /**
   * Events in their order, none left out: those behind the one with the id `after`, or from now on;
   * then each as it comes, until the signal is aborted. What came before is read from the database,
   * so nothing is kept for a listener that is slow.
   */
  follow(filter: EventFilter, after: string | undefined, signal: AbortSignal): AsyncIterable<Event>;
  stop(): void;
}

export interface EventFeedDeps {
  db: Db;
  /** How often the end is looked at, once for all who listen. */
  pollMs: number;
  log: Log;
}

/** What is read at once; the next is read when the listener has taken this. */
const EVENTS_AT_ONCE = 100;
/** Listeners are woken long before. */
const IDLE_MS = 600_000;

export function createEventFeed({ db, pollMs, log }: EventFeedDeps): EventFeed {
  const waiters = createWaiters();
  const stopping = new AbortController();
  let listening = 0;
  let watching = false;

  async function* follow(filter: EventFilter, after: string | undefined, signal: AbortSignal) {
    let read = after === undefined ? await lastPosition(db) : positionOf(after);
    listening++;
    void watch();
    try {
      while (!signal.aborted) {
        // Asked before anything is read: what happens in between is not missed.
        const asked = new AbortController();
        const woken = waiters.wait("end", IDLE_MS, AbortSignal.any([signal, asked.signal]));
        const last = await lastPosition(db);
        const events = await eventsAfter(db, filter, { after: read, last, limit: EVENTS_AT_ONCE });
        const newest = events.length < EVENTS_AT_ONCE ? undefined : events.at(-1);
        // What does not fit the filter is not looked at again.
        read = newest ? positionOf(newest.id) : last;
        if (events.length > 0) {
          asked.abort();
          yield* events;
        } else await woken;
      }
    } finally {
      listening--;
    }
  }

  /** Wakes those who listen when there is a new end, for as long as there are any. */
  async function watch(): Promise<void> {
    if (watching) return;
    watching = true;
    let end: string | undefined;
    while (listening > 0 && !stopping.signal.aborted) {
      try {
        const last = eventId(await lastPosition(db));
        if (last !== end) waiters.wake("end");
        end = last;
      } catch (error) {
        log.error({ err: error }, "Events could not be read; trying again");
      }
      await delay(pollMs, undefined, { ref: false, signal: stopping.signal }).catch(() => {});
    }
    watching = false;
  }

  return {
    follow,
    stop() {
      stopping.abort();
      waiters.stop();
    },
  };
}
