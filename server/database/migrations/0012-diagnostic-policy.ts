import { sql, type Kysely } from "kysely";

/** Who may do what by remote diagnostics, and what a second operator has to say to it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table diagnostic_rule (
    rule_id uuid primary key,
    position integer not null,
    effect text not null check (effect in ('allow', 'approve', 'deny')),
    description text not null,
    scope jsonb not null,
    changed_by text not null,
    changed_at timestamptz not null default now()
  )`,

  `create table diagnostic_approval (
    approval_id uuid primary key,
    subject_kind text not null check (subject_kind in ('request', 'session', 'script')),
    subject uuid not null unique,
    vin text not null,
    requested_by text not null,
    reason text not null,
    summary text not null,
    level text not null check (level in ('read', 'write', 'control')),
    state text not null default 'pending'
      check (state in ('pending', 'approved', 'rejected', 'expired')),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    decided_by text,
    decided_at timestamptz,
    comment text,
    taken_up boolean not null default false
  )`,
  `create index diagnostic_approval_open on diagnostic_approval (expires_at) where not taken_up`,
];
