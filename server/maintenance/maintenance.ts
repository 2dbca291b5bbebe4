import type { ServerConfig } from "#config/server.ts";
import { expireCommands } from "#server/commands/queries.ts";
import type { Db } from "#server/database/connection.ts";
import { expireRequests } from "#server/diagnostics/queries.ts";
import type { Log } from "#server/runtime/log.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import { endSilentUpdate, type UpdateDeps } from "#server/updates/service.ts";
import { silentUpdates } from "#server/updates/queries.ts";
import { markOffline } from "#server/vehicles/queries.ts";
import { trim, type trimmed } from "./queries.ts";

export interface MaintenanceDeps {
  db: Db;
  config: ServerConfig;
  updates: UpdateDeps;
  state: StateTracker;
  log: Log;
}

export interface MaintenanceReport {
  offline: string[];
  updatesEnded: number;
  requestsExpired: number;
  commandsExpired: number;
  rowsTrimmed: number;
}

/** Small enough that no round holds the database for long; the next round takes the rest. */
const ROUND = 5000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** One round: silent vehicles go offline, what is due expires, old rows are trimmed. */
export async function maintain(deps: MaintenanceDeps, now: Date): Promise<MaintenanceReport> {
  const { db, config } = deps;
  const ago = (ms: number) => new Date(now.getTime() - ms);
  const offline = await markOffline(db, ago(config.vehicles.offline_after_s * 1000));
  const silence = ago(config.updates.silence_timeout_min * MINUTE);
  const untouched = ago(config.packages.ttl_h * HOUR);
  const silent = await silentUpdates(db, { silence, untouched, limit: 100 });
  for (const { vin, update_id, since } of silent)
    await endSilentUpdate(deps.updates, vin, update_id, since);
  return {
    offline,
    updatesEnded: silent.length,
    requestsExpired: await expireRequests(db),
    commandsExpired: await expireCommands(db),
    rowsTrimmed: await trimAll(db, config.retention, ago),
  };
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
      report(await maintain(deps, new Date()), log);
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

async function trimAll(
  db: Db,
  days: ServerConfig["retention"],
  ago: (ms: number) => Date,
): Promise<number> {
  const keep: Record<keyof typeof trimmed, number> = {
    telemetry: days.telemetry_days,
    anomaly: days.anomalies_days,
    vci: days.vci_days,
    update_event: days.update_events_days,
    diagnostic_request: days.diagnostics_days,
    command: days.commands_days,
    package_assignment: days.update_events_days,
  };
  let rows = 0;
  for (const [table, kept] of Object.entries(keep) as [keyof typeof trimmed, number][]) {
    rows += await trim(db, table, ago(kept * DAY), ROUND);
  }
  return rows;
}

function report(done: MaintenanceReport, log: Log): void {
  const { offline, ...counts } = done;
  for (const vin of offline) log.info({ vehicle: vin }, "Vehicle is offline: nothing heard of it");
  if (Object.values(counts).some((count) => count > 0)) log.info(counts, "Maintenance");
}
