import type { Db } from "#server/database/connection.ts";
import { enterRecords } from "./register.ts";
import { addToStatistics } from "./statistics-queries.ts";

/** Rows of the history that are counted by one statement. */
const ROWS_AT_ONCE = 10_000;

/**
 * Counts what has come to the history, and enters what has come to the register in the audit log.
 * @returns how many records it entered
 */
export async function keepHistory(db: Db, now: Date, mayGoOn: () => boolean): Promise<number> {
  while ((await addToStatistics(db, ROWS_AT_ONCE)) === ROWS_AT_ONCE && mayGoOn());
  return enterRecords(db, now);
}
