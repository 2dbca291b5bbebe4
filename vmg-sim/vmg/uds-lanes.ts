/** Who may use the link when: one request per ECU at a time, and a group request all by itself. */
export interface UdsLanes {
  /** Runs `task` after everything that was asked of this ECU before. */
  alone<T>(target: number, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T>;
  /** Runs `task` after everything before it, and before everything that comes later. */
  exclusively<T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T>;
}

export function udsLanes(): UdsLanes {
  const tails = new Map<number, Promise<unknown>>();
  let barrier: Promise<unknown> = Promise.resolve();

  return {
    alone(target, signal, task) {
      const { result, finished } = after(tails.get(target) ?? barrier, signal, task);
      const tail = finished.finally(() => {
        if (tails.get(target) === tail) tails.delete(target);
      });
      tails.set(target, tail);
      return result;
    },
    exclusively(signal, task) {
      const { result, finished } = after(Promise.all([barrier, ...tails.values()]), signal, task);
      tails.clear();
      barrier = finished;
      return result;
    },
  };
}

/** `finished` never rejects; an aborted task gives up its turn but lets nobody overtake. */
function after<T>(
  before: Promise<unknown>,
  signal: AbortSignal | undefined,
  task: () => Promise<T>,
): { result: Promise<T>; finished: Promise<unknown> } {
  const run = before.then(() => {
    signal?.throwIfAborted();
    return task();
  });
  return { result: abortable(run, signal), finished: Promise.allSettled([run]) };
}

/** The promise, or the signal's reason as soon as it is aborted. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
