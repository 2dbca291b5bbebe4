import { sql } from "kysely";
import { vi } from "vitest";
import type { Db } from "#server/database/connection.ts";

/**
 * Resolves when every event there is is handed out: other tests' transactions, on other databases
 * of the same PostgreSQL, keep events waiting.
 */
export async function untilSettled(db: Db): Promise<void> {
  await vi.waitUntil(
    async () => {
      const { rows } = await sql<{ open: number }>`
        select count(*) as open from event
        where txid >= pg_snapshot_xmin(pg_current_snapshot())`.execute(db);
      return rows[0]?.open === 0;
    },
    { timeout: 20_000, interval: 10 },
  );
}
