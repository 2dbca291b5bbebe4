import type { Pace } from "#vmg-sim/vmg/pace.ts";
import { systemPace } from "#vmg-sim/vmg/pace.ts";

/** What is waited for longer than this waits until somebody lets it go on. */
const LONG_MS = 20_000;

export interface HeldPace extends Pace {
  /** Milliseconds that are being waited for. */
  held: number[];
  /** Lets all of it go on. */
  release(): void;
}

/** Real time, but for long waits: they are over when the test says so. */
export function heldPace(): HeldPace {
  const waiting = new Map<() => void, number>();
  return {
    ...systemPace,
    random: () => 0,
    get held() {
      return [...waiting.values()];
    },
    release() {
      for (const go of waiting.keys()) go();
    },
    async wait(ms, signal) {
      if (ms < LONG_MS) return systemPace.wait(ms, signal);
      await new Promise<void>((resolve, reject) => {
        const done = () => {
          waiting.delete(go);
          signal?.removeEventListener("abort", stop);
        };
        const go = () => {
          done();
          resolve();
        };
        const stop = () => {
          done();
          reject(signal?.reason as Error);
        };
        if (signal?.aborted) return reject(signal.reason as Error);
        signal?.addEventListener("abort", stop);
        waiting.set(go, ms);
      });
    },
  };
}
