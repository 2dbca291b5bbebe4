import type { Logger } from "pino";
import type { Held } from "./readiness.ts";
import type { Pace } from "./pace.ts";
import type { UpdateSummary } from "./update-summary.ts";

/** What an update that may not go on yet waits for, and who waits for its end. */
export interface WaitingUpdate {
  /** Does one wait? */
  readonly isWaiting: boolean;
  /** Has `again` done when it is time to ask once more, in place of what was to be done before. */
  wait(held: Held, again: () => Promise<unknown>): void;
  /** Nothing is to be done any more; who waits for the end goes on waiting. */
  taken(): void;
  /** The update has ended. */
  end(summary: UpdateSummary): void;
  /** Resolves with what the update comes to. @throws the signal's reason */
  ended(signal: AbortSignal): Promise<UpdateSummary>;
}

/** Nobody waits longer before asking again: policies change. */
const MOST_S = 86_400;
/** Vehicles whose window opens at the same time ask over some time, at most so much. */
const SPREAD_S = 300;

export function waitingUpdate(deps: {
  pace: Pace;
  log: Logger;
  signal: AbortSignal;
}): WaitingUpdate {
  const { pace, log, signal } = deps;
  let waking: AbortController | undefined;
  const waiters = new Set<(summary: UpdateSummary) => void>();

  async function wake(held: Held, again: () => Promise<unknown>, mine: AbortController) {
    const wanted = Math.min(Math.max(held.retry_after_s, 1), MOST_S);
    const spread = pace.random() * Math.min(wanted / 10, SPREAD_S);
    try {
      await pace.wait((wanted + spread) * 1000, AbortSignal.any([signal, mine.signal]));
      if (waking === mine) await again();
    } catch (error) {
      if (signal.aborted || waking !== mine) return;
      log.warn({ err: error }, "an update that waits could not go on; trying again");
      wait(held, again);
    }
  }
  function wait(held: Held, again: () => Promise<unknown>): void {
    taken();
    waking = new AbortController();
    void wake(held, again, waking);
  }
  function taken(): void {
    waking?.abort(new Error("the update goes on"));
    waking = undefined;
  }

  return {
    get isWaiting() {
      return waking !== undefined;
    },
    wait,
    taken,
    end(summary) {
      taken();
      for (const done of waiters) done(summary);
      waiters.clear();
    },
    ended(until) {
      return new Promise((resolve, reject) => {
        if (until.aborted) return reject(until.reason as Error);
        const stop = () => reject(until.reason as Error);
        until.addEventListener("abort", stop, { once: true });
        waiters.add((summary) => {
          until.removeEventListener("abort", stop);
          resolve(summary);
        });
      });
    },
  };
}
