import type { Clock } from "#protocol/doip/clock.ts";

export interface ManualClock extends Clock {
  /** Moves time on, running what falls due on the way in its order. */
  advance(ms: number): void;
}

export function manualClock(): ManualClock {
  const timers = new Set<{ at: number; run: () => void }>();
  let time = 0;
  const due = (until: number) =>
    [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
  return {
    now: () => time,
    after(ms, run) {
      const timer = { at: time + ms, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(ms) {
      const until = time + ms;
      for (let timer = due(until); timer !== undefined; timer = due(until)) {
        timers.delete(timer);
        time = timer.at;
        timer.run();
      }
      time = until;
    },
  };
}

/** Lets everything run that is ready to run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
