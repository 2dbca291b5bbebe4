import { CompiledQuery, createQueryId, sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { listEntries } from "#server/audit/queries.ts";
import type { Db } from "#server/database/connection.ts";
import { expireApprovals, listApprovals } from "#server/diagnostic-policy/approval-queries.ts";
import { endScripts, noteCancelling } from "#server/diagnostic-runs/script-queries.ts";
import { endSessions, sessionLocks } from "#server/diagnostic-sessions/queries.ts";
import { endUnsent } from "#server/diagnostics/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

const id = "00000000-0000-7000-8000-000000000001";
const error = { code: "REVOKED", message: "" };
const revoked = { reason: "revoked", by: "gateway" } as const;
const expired = { status: "expired", by: "gateway" } as const;

/** How the database would carry out what is asked, in tables too large to be read from end to end. */
async function planOf(ask: (db: Db) => Promise<unknown>): Promise<string> {
  const asked: CompiledQuery[] = [];
  const { db } = own;
  const noting = db.withPlugin({
    transformQuery({ node }) {
      asked.push(db.getExecutor().compileQuery(node, createQueryId()));
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  await ask(noting);
  return db.transaction().execute(async (tx) => {
    await sql`set local enable_seqscan = off`.execute(tx);
    const lines: string[] = [];
    for (const { sql: text, parameters } of asked) {
      const { rows } = await tx.executeQuery(CompiledQuery.raw(`explain ${text}`, [...parameters]));
      lines.push(...rows.map((row) => Object.values(row as object).join()));
    }
    return lines.join("\n");
  });
}

it.each<[string, string, (db: Db) => Promise<unknown>]>([
  ["sessions", "diagnostic_session_expiry", (db) => endSessions(db, { token_id: id }, revoked)],
  ["locks", "diagnostic_session_lock", (db) => sessionLocks(db, "V")],
  [
    "scripts in a session",
    "diagnostic_script_",
    (db) => noteCancelling(db, { session_id: id }, ""),
  ],
  ["scripts", "diagnostic_script_expiry", (db) => endScripts(db, { operator: "ann" }, expired)],
  ["requests", "diagnostic_request_open", (db) => endUnsent(db, { token_id: id }, "denied", error)],
  ["overdue approvals", "diagnostic_approval_pending", (db) => expireApprovals(db, new Date())],
  ["approvals", "diagnostic_approval_of", (db) => listApprovals(db, { vin: "V", limit: 1 })],
  ["entries", "audit_entry_of_action", (db) => listEntries(db, { action: "a", limit: 1 })],
])("%s are found by %s", async (_, index, ask) => {
  const plan = await planOf(ask);
  expect(plan).toContain(index);
  expect(plan).not.toContain("Seq Scan");
});
