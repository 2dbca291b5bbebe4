import type { Log } from "#server/runtime/log.ts";

/** A copy in memory of what a few rows say, kept up to date with the database. */
export interface Followed {
  /** Takes up all that has changed before it is called. */
  refresh(): Promise<void>;
  stop(): void;
}

export interface FollowSettings<Row extends { changed_at: Date }> {
  /** What is followed, for the log. */
  what: string;
  /** The rows whose `changed_at`, set by the database's `now()`, is later than `since`. */
  changedSince: (since: Date) => Promise<Row[]>;
  /** Called with rows that were given before, too. */
  apply: (rows: Row[]) => void;
  /** How often another process's changes are looked for; undefined where there can be none. */
  everyMs: number | undefined;
  log: Log;
}

/** A transaction that began earlier may show its rows later: so long is looked back. */
const OVERLAP_MS = 60_000;

/**
 * Reads everything once, then what has changed, again and again.
 * @throws the database's error when the first reading fails
 */
export function follow<Row extends { changed_at: Date }>(
  settings: FollowSettings<Row>,
): Promise<Followed> {
  const { changedSince, apply } = settings;
  let latest = 0;
  return followBy({
    ...settings,
    async read() {
      const rows = await changedSince(new Date(Math.max(0, latest - OVERLAP_MS)));
      for (const { changed_at } of rows) latest = Math.max(latest, changed_at.getTime());
      if (rows.length > 0) apply(rows);
    },
  });
}

/** As {@link follow}, where `read` knows itself what it has taken up. */
export async function followBy(settings: {
  what: string;
  read: () => Promise<void>;
  everyMs: number | undefined;
  log: Log;
}): Promise<Followed> {
  const { what, read, everyMs, log } = settings;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let turn: Promise<void> = Promise.resolve();

  /** One after the other: what was read first must not be applied last. */
  function refresh(): Promise<void> {
    turn = turn.then(read, read);
    return turn;
  }
  async function poll(): Promise<void> {
    try {
      await refresh();
    } catch (error) {
      if (!stopped) log.error({ err: error }, `${what} could not be read; trying again`);
    }
    arm();
  }
  function arm(): void {
    if (everyMs !== undefined && !stopped) timer = setTimeout(() => void poll(), everyMs).unref();
  }

  await refresh();
  arm();
  return {
    refresh,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
