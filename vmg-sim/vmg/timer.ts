import type { Clock } from "#protocol/doip/clock.ts";

/** Something that happens once, unless it is put off or called off. */
export interface Timer {
  /** In so many milliseconds from now, in place of the time set before; at once for none. */
  in: (ms: number) => void;
  stop: () => void;
}

/** The longest delay that a timer can hold. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export function startTimer(clock: Clock, run: () => void): Timer {
  let cancel = () => {};
  return {
    in(ms) {
      cancel();
      cancel = clock.after(Math.min(Math.max(ms, 0), MAX_DELAY_MS), run);
    },
    stop: () => cancel(),
  };
}
