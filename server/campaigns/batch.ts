import type { Db } from "#server/database/connection.ts";

export interface BatchDeps {
  db: Db;
  /** Called when the counters of a campaign have changed. */
  counted: (campaignId: string) => void;
}

/** Small enough that no statement holds rows for long. */
export const BATCH = 500;
