import { sql, type Kysely } from "kysely";

/** Diagnostic sessions of operators with ECUs, and remote diagnostics that was ended at once. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table diagnostic_session (
    session_id uuid primary key,
    vin text not null references vehicle on delete cascade,
    ecu_id text not null,
    uds_session smallint not null,
    status text not null check (status in ('awaiting_approval', 'opening', 'open', 'ended')),
    operator text not null,
    role text not null,
    token_id uuid not null,
    reason text,
    max_s integer not null,
    takes_over uuid,
    response bytea,
    end_reason text,
    ended_by text,
    interlock text,
    error jsonb,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    asked_at timestamptz,
    opened_at timestamptz,
    expires_at timestamptz not null,
    ended_at timestamptz,
    check ((status = 'ended') = (ended_at is not null)),
    check ((status = 'ended') = (end_reason is not null))
  )`,
  // An ECU is one person's at a time.
  `create unique index diagnostic_session_lock on diagnostic_session (vin, ecu_id)
    where status in ('opening', 'open')`,
  `create index diagnostic_session_of on diagnostic_session (vin, session_id desc)`,
  `create index diagnostic_session_expiry on diagnostic_session (expires_at) where ended_at is null`,
  `create index diagnostic_session_changed on diagnostic_session (changed_at)`,
  `create index diagnostic_session_ended on diagnostic_session (vin, ended_at) where ended_at is not null`,

  `create table diagnostic_revocation (
    revocation_id uuid primary key,
    vin text,
    operator text,
    token_id uuid,
    cause text not null,
    reason text not null,
    revoked_by text not null,
    changed_at timestamptz not null default now()
  )`,
  `create index diagnostic_revocation_changed on diagnostic_revocation (changed_at)`,
];
