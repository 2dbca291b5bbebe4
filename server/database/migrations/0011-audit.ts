import { sql, type Kysely } from "kysely";

/** The audit log: a chain of hashes whose rows stay as they were written. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table audit_entry (
    seq bigint primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    vin text,
    ecu_id text,
    subject text,
    request bytea,
    response bytea,
    detail jsonb,
    prev_hash bytea not null unique check (length(prev_hash) = 32),
    hash bytea not null unique check (length(hash) = 32)
  )`,
  `create index audit_entry_of_vehicle on audit_entry (vin, seq) where vin is not null`,
  `create index audit_entry_of_actor on audit_entry (actor, seq)`,
  `create index audit_entry_of_subject on audit_entry (subject, seq) where subject is not null`,

  `create function refuse_audit_change() returns trigger language plpgsql as $$
    begin
      raise exception 'entries of the audit log are final';
    end
  $$`,
  `create trigger audit_entry_final before update or delete on audit_entry
    for each row execute function refuse_audit_change()`,
  `create trigger audit_entry_kept before truncate on audit_entry
    for each statement execute function refuse_audit_change()`,
];
