import { sql, type Kysely } from "kysely";

/** Scripts that vehicles carry out, and scans of whole vehicles. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table diagnostic_script (
    script_id uuid primary key,
    vin text not null references vehicle on delete cascade,
    ecu_id text not null,
    session_id uuid references diagnostic_session on delete set null,
    script jsonb not null,
    status text not null,
    operator text not null,
    token_id uuid not null,
    reason text,
    max_s integer not null,
    cancelled_by text,
    answers jsonb not null default '{}',
    error jsonb,
    steps integer,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    acknowledged_at timestamptz,
    expires_at timestamptz not null,
    reported_at timestamptz,
    completed_at timestamptz
  )`,
  `create index diagnostic_script_of on diagnostic_script (vin, script_id desc)`,
  `create index diagnostic_script_in on diagnostic_script (session_id) where completed_at is null`,
  `create index diagnostic_script_expiry on diagnostic_script (expires_at) where completed_at is null`,
  `create index diagnostic_script_changed on diagnostic_script (changed_at)`,
  `create index diagnostic_script_trim on diagnostic_script using brin (created_at)`,

  `create table diagnostic_script_step (
    script_id uuid not null references diagnostic_script on delete cascade,
    seq integer not null,
    path text not null,
    request bytea,
    response bytea,
    interlock text,
    error jsonb,
    timing jsonb,
    at timestamptz not null,
    primary key (script_id, seq)
  )`,

  `create table diagnostic_scan (
    scan_id uuid primary key,
    vin text not null references vehicle on delete cascade,
    update_id uuid,
    phase text check (phase in ('before_update', 'after_update')),
    status text not null check (status in ('requested', 'completed', 'failed', 'expired')),
    requested_by text,
    ecus jsonb not null default '[]',
    error jsonb,
    created_at timestamptz not null default now(),
    taken_at timestamptz,
    completed_at timestamptz,
    check ((update_id is null) = (phase is null))
  )`,
  `create index diagnostic_scan_of on diagnostic_scan (vin, scan_id desc)`,
  // What a vehicle sends again is one scan.
  `create unique index diagnostic_scan_around on diagnostic_scan (update_id, phase) where update_id is not null`,
  `create unique index diagnostic_scan_running on diagnostic_scan (vin) where status = 'requested'`,
  `create index diagnostic_scan_trim on diagnostic_scan using brin (created_at)`,
];
