import { sql, type Kysely } from "kysely";

/** Ways to what is listed, and to what is trimmed, of approvals and the audit log. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create index diagnostic_approval_of on diagnostic_approval (vin, approval_id desc)`,
  `create index diagnostic_approval_pending on diagnostic_approval (approval_id) where state = 'pending'`,
  `create index diagnostic_approval_trim on diagnostic_approval using brin (decided_at)`,
  // The log is never trimmed: what is rare in it must not be looked for from end to end.
  `create index audit_entry_of_action on audit_entry (action, seq)`,
  `create index audit_entry_at on audit_entry using brin (at)`,
];
