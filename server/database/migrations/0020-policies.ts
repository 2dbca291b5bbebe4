import { sql, type Kysely } from "kysely";

/** Policies of updates, by group and by vehicle; what a command is about, and its key. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Of a group by its filter, or of one vehicle. Without settings it was removed: who follows the
  // table sees that, too.
  `create table update_policy (
    policy_id uuid primary key,
    vin text unique references vehicle on delete cascade,
    name text,
    position integer,
    filter text,
    settings jsonb,
    changed_by text not null,
    changed_at timestamptz not null default now(),
    check ((vin is null) <> (filter is null))
  )`,
  `create index update_policy_changed on update_policy (changed_at)`,

  `alter table command
    add column target jsonb,
    add column idempotency_key text`,
  `create unique index command_key on command (issued_by, idempotency_key)
    where idempotency_key is not null`,
];
