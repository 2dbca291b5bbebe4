import type { DiagnosticStatus } from "#protocol/api/diagnostics.ts";
import { createWaiters } from "#server/runtime/waiters.ts";

/** A request that has come to something new. */
export interface Change {
  request_id: string;
  vin: string;
  ecu_id: string | null;
  status: DiagnosticStatus;
}

/** Tells whoever listens on this gateway what happens to requests. */
export interface Feed {
  publish(change: Change): void;
  /** Resolves when the request ends, after `ms` or with the signal. Ask before you look. */
  ended(requestId: string, ms: number, signal: AbortSignal): Promise<void>;
  /**
   * The ids of requests that change, for as long as the signal lasts. Several changes of a request
   * that wait to be read are one. Ends when more wait than anybody can want: then read the list.
   */
  watch(concerns: (change: Change) => boolean, signal: AbortSignal): AsyncIterable<string>;
  /** Nobody is kept waiting any longer. */
  stop(): void;
}

const MOST_WAITING = 10_000;

const open: readonly DiagnosticStatus[] = ["awaiting_approval", "queued", "sent", "pending"];

export const isOpen = (status: DiagnosticStatus) => open.includes(status);

export function createFeed(): Feed {
  const watchers = new Set<(change: Change) => void>();
  const waiters = createWaiters();

  function watch(
    concerns: (change: Change) => boolean,
    signal: AbortSignal,
  ): AsyncIterable<string> {
    const changed = new Set<string>();
    let wake = () => {};
    const watcher = (change: Change) => {
      if (!concerns(change)) return;
      changed.add(change.request_id);
      if (changed.size > MOST_WAITING) watchers.delete(watcher);
      wake();
    };
    // From now on, not from the first reading on: nothing may fall in between.
    watchers.add(watcher);
    signal.addEventListener("abort", () => {
      watchers.delete(watcher);
      wake();
    });
    return taken(changed, signal, (callback) => {
      wake = callback;
    });
  }

  return {
    publish(change) {
      for (const watcher of watchers) watcher(change);
      if (!isOpen(change.status)) waiters.wake(change.request_id);
    },
    ended: (requestId, ms, signal) => waiters.wait(requestId, ms, signal),
    stop: () => waiters.stop(),
    watch,
  };
}

async function* taken(
  changed: Set<string>,
  signal: AbortSignal,
  onChange: (callback: () => void) => void,
): AsyncGenerator<string> {
  while (!signal.aborted && changed.size <= MOST_WAITING) {
    const [id] = changed;
    if (id === undefined) {
      await new Promise<void>((resolve) => onChange(resolve));
    } else {
      changed.delete(id);
      yield id;
    }
  }
}
