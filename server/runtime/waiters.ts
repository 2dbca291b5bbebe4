/** Those on this gateway who wait for something to happen to a thing. */
export interface Waiters {
  /** Resolves at the next `wake` of it, after `ms`, or when the signal is aborted. */
  wait(id: string, ms: number, signal?: AbortSignal): Promise<void>;
  wake(id: string): void;
  /** Nobody waits any longer. */
  stop(): void;
}

export function createWaiters(): Waiters {
  const waiting = new Map<string, Set<() => void>>();
  let stopped = false;

  function wake(id: string): void {
    for (const done of waiting.get(id) ?? []) done();
  }

  return {
    wait(id, ms, signal) {
      if (stopped || signal?.aborted || ms === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const those = waiting.get(id) ?? new Set();
        const done = () => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", done);
          those.delete(done);
          if (those.size === 0 && waiting.get(id) === those) waiting.delete(id);
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal?.addEventListener("abort", done);
        waiting.set(id, those.add(done));
      });
    },
    wake,
    stop() {
      stopped = true;
      for (const id of [...waiting.keys()]) wake(id);
    },
  };
}
