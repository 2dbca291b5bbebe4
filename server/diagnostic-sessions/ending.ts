import { appendEntry } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import type { Keeper } from "./keeper.ts";
import { endSessions, type SessionChoice, type SessionEnding, type SessionRow } from "./queries.ts";

/** Called when a session has ended, whoever ended it. */
export type EndedListener = (session: SessionRow) => Promise<void>;

export interface Endings {
  /** Ends those of the choice that can end so, and tells their vehicles. @returns them */
  end(choice: SessionChoice, ending: SessionEnding): Promise<SessionRow[]>;
  /** What follows on an end that is committed. */
  follow(rows: readonly SessionRow[]): Promise<void>;
  onEnded(listener: EndedListener): void;
}

export interface EndingDeps {
  db: Db;
  keeper: Keeper;
  waiters: Waiters;
  metrics: Metrics;
  log: Log;
}

export function createEndings({ db, keeper, waiters, metrics, log }: EndingDeps): Endings {
  const listeners: EndedListener[] = [];

  async function follow(rows: readonly SessionRow[]): Promise<void> {
    for (const row of rows) {
      if (row.asked_at !== null) keeper.close(row);
      metrics.diagnosticSessions.inc({ reason: row.end_reason ?? "" });
      waiters.wake(row.session_id);
    }
    for (const row of rows) {
      for (const listener of listeners) {
        await listener(row).catch((error: unknown) =>
          log.error({ err: error, session_id: row.session_id }, "After a session's end"),
        );
      }
    }
  }

  return {
    async end(choice, ending) {
      const rows = await db.transaction().execute((tx) => endAudited(tx, choice, ending));
      await follow(rows);
      return rows;
    },
    follow,
    onEnded: (listener) => void listeners.push(listener),
  };
}

/** Ends sessions and says so in the audit log: the transaction's last step. */
export async function endAudited(
  tx: Tx,
  choice: SessionChoice,
  ending: SessionEnding,
  action: "session.ended" | "session.taken_over" = "session.ended",
): Promise<SessionRow[]> {
  const rows = await endSessions(tx, choice, ending);
  for (const { session_id, vin, ecu_id, operator } of rows) {
    await appendEntry(tx, {
      actor: ending.by,
      action,
      vin,
      ecu_id,
      subject: session_id,
      response: ending.response,
      detail: { operator, reason: ending.reason, error: ending.error, interlock: ending.interlock },
    });
  }
  return rows;
}
