import type { Logger } from "pino";
import { backoffMs, type Pace } from "./pace.ts";

const BACKOFF = { backoff_ms: 1000, max_backoff_ms: 60_000 };

/**
 * Does work that must succeed before anything else goes on, again and again with back-off.
 * @throws the signal's reason
 */
export async function insist<Result>(
  what: string,
  { pace, log }: { pace: Pace; log: Logger },
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error }, `${what} failed; trying again`);
      await pace.wait(backoffMs(attempt, BACKOFF, pace.random), signal);
    }
  }
}
