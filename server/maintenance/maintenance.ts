import type { ServerConfig } from "#config/server.ts";
import { expireCommands } from "#server/commands/queries.ts";
import type { Db } from "#server/database/connection.ts";
import type { Approvals } from "#server/diagnostic-policy/approvals.ts";
import { emitAll } from "#server/events/outbox.ts";
import { keepHistory } from "#server/history/upkeep.ts";
import type { Log } from "#server/runtime/log.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import { endOverdueUpdate, endSilentUpdate, type UpdateDeps } from "#server/updates/service.ts";
import { overdueUpdates, silentUpdates } from "#server/updates/queries.ts";
import { markOffline } from "#server/vehicles/queries.ts";
import { trimAll } from "./trim.ts";

export interface MaintenanceDeps {
  db: Db;
  config: ServerConfig;
  updates: UpdateDeps;
  /** Their course by the clock. */
  campaigns: { maintain(now: Date, mayGoOn: () => boolean): Promise<number> };
  approvals: Pick<Approvals, "maintain">;
  requests: { expire(): Promise<number> };
  /** Sessions, scripts and scans. */
  remote: { expire(): Promise<number> };
  /** Renews signed metadata that ends soon. */
  renewTrust: (now: Date) => Promise<void>;
  state: StateTracker;
  log: Log;
}

export interface MaintenanceReport {
  offline: string[];
  updatesEnded: number;
  campaignsMoved: number;
  approvalsExpired: number;
  requestsExpired: number;
  commandsExpired: number;
  diagnosticsExpired: number;
  /** Of the register, in the audit log. */
  recordsEntered: number;
  rowsTrimmed: number;
}

/** A round trims for no longer; the next one takes the rest. */
const TRIM_MS = 5000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/**
 * One round: what is due expires, silent vehicles go offline, old rows are trimmed, in batches for as
 * long as `mayGoOn`.
 */
export async function maintain(
  deps: MaintenanceDeps,
  now: Date,
  mayGoOn: () => boolean = () => true,
): Promise<MaintenanceReport> {
  const { db, config } = deps;
  const ago = (ms: number) => new Date(now.getTime() - ms);
  const updatesEnded = await endUpdates(deps, now, mayGoOn);
  await deps.renewTrust(now);
  return {
    offline: await goOffline(db, ago(config.vehicles.offline_after_s * 1000)),
    updatesEnded,
    campaignsMoved: await deps.campaigns.maintain(now, mayGoOn),
    approvalsExpired: await deps.approvals.maintain(now),
    requestsExpired: await deps.requests.expire(),
    commandsExpired: await expireCommands(db),
    diagnosticsExpired: await deps.remote.expire(),
    recordsEntered: await keepHistory(db, now, mayGoOn),
    rowsTrimmed: await trimAll(db, config, now, mayGoOn),
  };
}

const BATCH = 100;

/** Ends updates that nothing was heard of, and those whose proof is overdue; together they may be many. */
async function endUpdates(
  { db, config, updates }: MaintenanceDeps,
  now: Date,
  mayGoOn: () => boolean,
): Promise<number> {
  const silence = new Date(now.getTime() - config.updates.silence_timeout_min * MINUTE);
  const untouched = new Date(now.getTime() - config.packages.ttl_h * HOUR);
  let all = 0;
  let ended: number;
  do {
    ended = 0;
    for (const { vin, update_id } of await overdueUpdates(db, now, BATCH)) {
      if (await endOverdueUpdate(updates, vin, update_id, now)) ended++;
    }
    for (const { vin, update_id, since } of await silentUpdates(db, {
      silence,
      untouched,
      limit: BATCH,
    })) {
      if (await endSilentUpdate(updates, vin, update_id, since)) ended++;
    }
    all += ended;
  } while (ended >= BATCH && mayGoOn());
  return all;
}

async function goOffline(db: Db, since: Date): Promise<string[]> {
  return db.transaction().execute(async (tx) => {
    const vins = await markOffline(tx, since);
    await emitAll(
      tx,
      vins.map((vin) => ({ kind: "vehicle.offline", vin })),
    );
    return vins;
  });
}

/**
 * Runs a round every `interval_s`, the next one only after the last has ended. A round that fails is
 * logged and tried again.
 * @returns stops it, and resolves when the round under way has ended
 */
export function startMaintenance(deps: MaintenanceDeps): () => Promise<void> {
  const { config, state, log } = deps;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  let timer: NodeJS.Timeout;

  async function round(): Promise<void> {
    const end = state.begin("maintenance");
    try {
      const trimUntil = performance.now() + TRIM_MS;
      const mayGoOn = () => !stopped && performance.now() < trimUntil;
      report(await maintain(deps, new Date(), mayGoOn), log);
    } catch (error) {
      log.error({ err: error }, "Maintenance failed; trying again later");
    } finally {
      end();
      if (!stopped) schedule();
    }
  }

  function schedule(): void {
    timer = setTimeout(() => {
      running = round();
    }, config.maintenance.interval_s * 1000);
    timer.unref();
  }

  schedule();
  return () => {
    stopped = true;
    clearTimeout(timer);
    return running;
  };
}

function report(done: MaintenanceReport, log: Log): void {
  const { offline, ...counts } = done;
  for (const vin of offline) log.info({ vehicle: vin }, "Vehicle is offline: nothing heard of it");
  if (Object.values(counts).some((count) => count > 0)) log.info(counts, "Maintenance");
}
