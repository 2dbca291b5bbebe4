import { setTimeout as delay } from "node:timers/promises";

/** Time and chance, as everything in the agent sees them: a parameter, so that tests never wait. */
export interface Pace {
  now(): Date;
  /** From 0 up to but not including 1. */
  random: () => number;
  /** @throws the signal's reason when it is aborted */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemPace: Pace = {
  now: () => new Date(),
  random: () => Math.random(),
  async wait(ms, signal) {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
};

export interface Backoff {
  retries: number;
  backoff_ms: number;
  max_backoff_ms: number;
}

/** How long to wait before repeat `attempt` (from 0): doubling, bounded, the upper half random. */
export function backoffMs(
  attempt: number,
  { backoff_ms, max_backoff_ms }: Omit<Backoff, "retries">,
  random: () => number,
): number {
  const full = Math.min(max_backoff_ms, backoff_ms * 2 ** Math.min(attempt, 30));
  return Math.round(full * (0.5 + random() / 2));
}
