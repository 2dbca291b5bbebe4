import type { ServerConfig } from "#config/server.ts";
import type { Db } from "#server/database/connection.ts";
import { isolated } from "#server/runtime/isolated.ts";
import type { Log } from "#server/runtime/log.ts";
import { trim, type trimmed } from "./queries.ts";

export interface TrimDeps {
  db: Db;
  config: Pick<ServerConfig, "retention" | "certificates">;
  log: Log;
}

/** Small enough that no statement holds the database for long. */
const BATCH = 5000;
/** Small enough that a run ends; far more than the gateway takes in from one run to the next. */
const RUN = 500_000;
const DAY = 24 * 3_600_000;
const DAYS_AFTER_EXPIRY = 1;

/**
 * Deletes what is older than its retention. One batch from every table, then on with those that have
 * more, until nothing is left, `mayGoOn` says no, or enough for one run is done. A table that fails is
 * logged, and keeps nothing from the others.
 * @returns how many rows
 */
export async function trimAll(
  { db, config: { retention: days, certificates }, log }: TrimDeps,
  now: Date,
  mayGoOn: () => boolean,
): Promise<number> {
  const keep: Record<keyof typeof trimmed, number> = {
    telemetry: days.telemetry_days,
    anomaly: days.anomalies_days,
    vci: days.vci_days,
    update_event: days.update_events_days,
    webhook_delivery: days.events_days,
    event: days.events_days,
    diagnostic_request: days.diagnostics_days,
    diagnostic_approval: days.diagnostics_days,
    diagnostic_script: days.diagnostics_days,
    diagnostic_scan: days.diagnostics_days,
    diagnostic_session: days.diagnostics_days,
    diagnostic_revocation: days.diagnostics_days,
    command: days.commands_days,
    package_assignment: days.update_events_days,
    superseded_package: days.update_events_days,
    // Versions follow the clock, so that none comes twice when the vehicle asks again.
    director_issue: DAYS_AFTER_EXPIRY,
    // A list that was made before a certificate ended may be used so long; the next one must have it.
    certificate: Math.max(days.certificates_days, certificates.crl_h / 24),
    // Every gateway that can reach the database has read it long before.
    ended_minimum_profile: 1,
    enrollment_token: days.certificates_days,
    operator_token: DAYS_AFTER_EXPIRY,
    // Failed logins are forgiven after a day.
    operator_login: DAYS_AFTER_EXPIRY,
  };
  let tables = Object.entries(keep) as [keyof typeof trimmed, number][];
  let rows = 0;
  do {
    const full: typeof tables = [];
    for (const [table, kept] of tables) {
      const before = new Date(now.getTime() - kept * DAY);
      const work = `trimming ${table}`;
      const deleted = (await isolated(log, { work }, () => trim(db, table, before, BATCH))) ?? 0;
      if (deleted === BATCH) full.push([table, kept]);
      rows += deleted;
    }
    tables = full;
  } while (tables.length > 0 && rows < RUN && mayGoOn());
  return rows;
}
