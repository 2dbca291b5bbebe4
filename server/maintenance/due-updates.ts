import type { ServerConfig } from "#config/server.ts";
import type { Db } from "#server/database/connection.ts";
import { isolated } from "#server/runtime/isolated.ts";
import type { Log } from "#server/runtime/log.ts";
import { endOverdueUpdate, endSilentUpdate, type UpdateDeps } from "#server/updates/service.ts";
import { overdueUpdates, silentUpdates } from "#server/updates/queries.ts";

export interface DueUpdatesDeps {
  db: Db;
  config: Pick<ServerConfig, "updates" | "packages">;
  updates: UpdateDeps;
  log: Log;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const BATCH = 100;
/** So many may fail before a round gives up: others are looked for behind them. */
const MAX_FAILING = 10 * BATCH;

/**
 * Ends updates that nothing was heard of, and those whose proof is overdue; together they may be
 * many. One that can't be ended is logged, and keeps nothing from the others.
 * @returns how many
 */
export async function endDueUpdates(
  { db, config, updates, log }: DueUpdatesDeps,
  now: Date,
  mayGoOn: () => boolean,
): Promise<number> {
  const silence = new Date(now.getTime() - config.updates.silence_timeout_min * MINUTE);
  const untouched = new Date(now.getTime() - config.packages.ttl_h * HOUR);
  const failing = new Set<string>();
  let ended = 0;

  async function end(update_id: string, vehicle: string, what: () => Promise<boolean>) {
    if (failing.has(update_id)) return;
    const hasEnded = await isolated(log, { work: "updates", vehicle, update_id }, what);
    if (hasEnded === undefined) failing.add(update_id);
    else if (hasEnded) ended++;
  }

  let before: number;
  do {
    before = ended + failing.size;
    const limit = BATCH + failing.size;
    for (const { vin, update_id } of await overdueUpdates(db, now, limit)) {
      await end(update_id, vin, () => endOverdueUpdate(updates, vin, update_id, now));
    }
    const silent = await silentUpdates(db, { silence, untouched, limit });
    for (const { vin, update_id, since } of silent) {
      await end(update_id, vin, () => endSilentUpdate(updates, vin, update_id, since));
    }
  } while (ended + failing.size - before >= BATCH && failing.size < MAX_FAILING && mayGoOn());
  return ended;
}
