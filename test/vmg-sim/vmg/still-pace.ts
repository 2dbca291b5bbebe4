import type { Pace } from "#vmg-sim/vmg/pace.ts";

/** Time that stands still unless somebody waits: then it jumps. Keeps what was waited for. */
export function stillPace(random: () => number = () => 0.5): Pace & { waits: number[] } {
  let now = Date.parse("2026-11-20T12:00:00Z");
  const waits: number[] = [];
  return {
    waits,
    now: () => new Date(now),
    random,
    async wait(ms, signal) {
      signal?.throwIfAborted();
      waits.push(ms);
      now += ms;
      // Lets whoever aborts go first.
      await new Promise<void>((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    },
  };
}
