import type { Db } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";

export interface BatchDeps {
  db: Db;
  /** Called when the counters of a campaign have changed. */
  counted: (campaignId: string) => void;
}

/** For work that goes over many campaigns. */
export interface RoundDeps {
  log: Log;
}

/** Small enough that no statement holds rows for long. */
export const BATCH = 500;
