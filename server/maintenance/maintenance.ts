import type { ServerConfig } from "#config/server.ts";
import { expireCommands } from "#server/commands/queries.ts";
import type { Db } from "#server/database/connection.ts";
import type { Approvals } from "#server/diagnostic-policy/approvals.ts";
import { emitAll } from "#server/events/outbox.ts";
import { keepHistory } from "#server/history/upkeep.ts";
import { isolated } from "#server/runtime/isolated.ts";
import type { Log } from "#server/runtime/log.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import type { UpdateDeps } from "#server/updates/service.ts";
import { markOffline } from "#server/vehicles/queries.ts";
import { endDueUpdates } from "./due-updates.ts";
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

/**
 * One round: what is due expires, silent vehicles go offline, old rows are trimmed, in batches for as
 * long as `mayGoOn`. What fails is logged, counts as nothing done, and keeps nothing from the rest.
 */
export async function maintain(
  deps: MaintenanceDeps,
  now: Date,
  mayGoOn: () => boolean = () => true,
): Promise<MaintenanceReport> {
  const { db, config, log } = deps;
  const silentSince = new Date(now.getTime() - config.vehicles.offline_after_s * 1000);
  const count = async (work: string, what: () => Promise<number>) =>
    (await isolated(log, { work }, what)) ?? 0;
  const updatesEnded = await count("updates", () => endDueUpdates(deps, now, mayGoOn));
  await isolated(log, { work: "trust" }, () => deps.renewTrust(now));
  return {
    offline: (await isolated(log, { work: "vehicles" }, () => goOffline(db, silentSince))) ?? [],
    updatesEnded,
    campaignsMoved: await count("campaigns", () => deps.campaigns.maintain(now, mayGoOn)),
    approvalsExpired: await count("approvals", () => deps.approvals.maintain(now)),
    requestsExpired: await count("requests", () => deps.requests.expire()),
    commandsExpired: await count("commands", () => expireCommands(db)),
    diagnosticsExpired: await count("diagnostics", () => deps.remote.expire()),
    recordsEntered: await count("history", () => keepHistory(db, now, mayGoOn)),
    rowsTrimmed: await trimAll({ db, config, log }, now, mayGoOn),
  };
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
 * Runs a round every `interval_s`, the next one only after the last has ended.
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
