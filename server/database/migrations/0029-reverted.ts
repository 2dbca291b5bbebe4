import { sql, type Kysely } from "kysely";

/** When an ECU was seen to run again what it ran before an update that had succeeded. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `alter table update_history add column reverted_at timestamptz`,
  `create index update_history_reverted on update_history (completed_at, history_id)
    where reverted_at is not null`,
];
