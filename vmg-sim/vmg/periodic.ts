import type { Logger } from "pino";

/** Something done again and again; one run never overlaps the next. */
export interface Periodic {
  /** Counts the interval anew, by what it is now. */
  rearm(): void;
  /** No further run; resolves when a run under way is over. */
  stop(): Promise<void>;
}

/** The longest delay that a timer can hold. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * Runs `work` every `intervalMs()`, first after one interval. An error is logged and the next run
 * comes as if there had been none.
 */
export function periodically(
  what: string,
  intervalMs: () => number,
  work: () => Promise<void>,
  log: Logger,
): Periodic {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let stopped = false;

  function arm(): void {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(start, Math.min(intervalMs(), MAX_DELAY_MS));
  }
  function start(): void {
    running = run().finally(() => {
      running = undefined;
      arm();
    });
  }
  async function run(): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!stopped) log.warn({ err: error }, `${what} failed`);
    }
  }

  arm();
  return {
    rearm() {
      if (running === undefined) arm();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
