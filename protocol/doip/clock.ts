/** Time as protocol code sees it: a parameter, so that tests never wait for it. */
export interface Clock {
  /** Milliseconds on a clock that never goes back; only differences mean anything. */
  now(): number;
  /** Runs `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** Timers known by a name; starting one that runs starts it anew. */
export interface NamedTimers<Name> {
  start(name: Name, ms: number): void;
  stop(name: Name): void;
  stopAll(): void;
}

export function namedTimers<Name>(clock: Clock, expired: (name: Name) => void): NamedTimers<Name> {
  const running = new Map<Name, () => void>();
  const timers: NamedTimers<Name> = {
    start(name, ms) {
      timers.stop(name);
      running.set(
        name,
        clock.after(ms, () => {
          running.delete(name);
          expired(name);
        }),
      );
    },
    stop(name) {
      running.get(name)?.();
      running.delete(name);
    },
    stopAll() {
      for (const cancel of running.values()) cancel();
      running.clear();
    },
  };
  return timers;
}
