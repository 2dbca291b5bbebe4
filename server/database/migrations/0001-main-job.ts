import { sql, type Kysely } from "kysely";

/** Vehicles, firmware, packages, updates, telemetry, diagnostics, commands, operator tokens. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table vehicle (
    vin text primary key,
    model text,
    region text,
    vmg_version text,
    channel text not null default 'stable' check (channel in ('stable', 'beta')),
    status text not null default 'registered',
    registered_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    connection jsonb,
    heartbeat jsonb,
    config jsonb,
    config_revision integer not null default 0
  )`,
  // Maintenance asks for vehicles that are not offline and were silent for long.
  `create index vehicle_silent on vehicle (last_seen_at) where status in ('registered', 'online', 'updating')`,

  `create table vci (
    vci_id uuid primary key,
    vin text not null references vehicle on delete cascade,
    received_at timestamptz not null default now(),
    reason text,
    collected_at timestamptz,
    zones jsonb not null,
    ecus jsonb not null,
    current boolean not null default true
  )`,
  `create unique index vci_current on vci (vin) where current`,
  `create index vci_history on vci (vin, vci_id desc)`,
  `create index vci_trim on vci (received_at) where not current`,

  `create table firmware (
    firmware_id uuid primary key,
    ecu_type text not null,
    version text not null,
    hardware_versions text[] not null,
    channel text not null check (channel in ('stable', 'beta')),
    min_current_version text,
    critical boolean not null default false,
    release_notes text,
    status text not null default 'active' check (status in ('active', 'archived')),
    size bigint not null,
    sha256 text not null,
    compressed_size bigint not null,
    compressed_sha256 text not null,
    created_by text not null,
    created_at timestamptz not null default now(),
    unique (ecu_type, version)
  )`,

  `create table package (
    package_id text primary key,
    manifest bytea not null,
    signatures bytea not null,
    size bigint not null,
    sha256 text not null,
    zones jsonb not null,
    created_at timestamptz not null default now()
  )`,
  `create table package_assignment (
    vin text not null references vehicle on delete cascade,
    package_id text not null references package on delete cascade,
    expires_at timestamptz not null,
    primary key (vin, package_id)
  )`,
  `create index package_assignment_expiry on package_assignment (expires_at)`,

  `create table vehicle_update (
    update_id uuid primary key,
    vin text not null references vehicle on delete cascade,
    package_id text not null references package,
    status text not null,
    progress real not null default 0,
    targets jsonb not null,
    claimed boolean not null default false,
    error jsonb,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,
    last_report_at timestamptz not null default now()
  )`,
  // A vehicle carries out one update at a time.
  `create unique index vehicle_update_active on vehicle_update (vin) where completed_at is null`,
  `create index vehicle_update_history on vehicle_update (vin, update_id desc)`,
  `create index vehicle_update_silent on vehicle_update (last_report_at) where completed_at is null`,
  `create table update_event (
    event_id bigint generated always as identity primary key,
    update_id uuid not null references vehicle_update on delete cascade,
    status text not null,
    progress real not null,
    ecu_id text,
    message text,
    error jsonb,
    applied boolean not null,
    reported_at timestamptz not null,
    received_at timestamptz not null default now()
  )`,
  `create index update_event_of on update_event (update_id, event_id)`,
  `create index update_event_trim on update_event using brin (received_at)`,

  `create table telemetry (
    sample_id bigint generated always as identity,
    vin text not null,
    ts timestamptz not null,
    received_at timestamptz not null default now(),
    signals jsonb not null,
    primary key (vin, ts, sample_id)
  )`,
  `create index telemetry_trim on telemetry using brin (received_at)`,
  `create table anomaly (
    anomaly_id bigint generated always as identity primary key,
    vin text not null,
    ts timestamptz not null,
    signal text not null,
    value double precision not null,
    rule text not null check (rule in ('limit', 'deviation')),
    detail text not null,
    detected_at timestamptz not null default now()
  )`,
  `create index anomaly_of on anomaly (vin, anomaly_id desc)`,
  `create index anomaly_trim on anomaly using brin (detected_at)`,

  `create table diagnostic_request (
    request_id uuid primary key,
    vin text not null references vehicle on delete cascade,
    ecu_id text,
    zone_id text,
    request_data bytea not null,
    timeout_ms integer not null,
    max_attempts integer not null,
    status text not null,
    attempts integer not null default 0,
    error jsonb,
    responses jsonb not null default '[]',
    requested_by text not null,
    created_at timestamptz not null default now(),
    completed_at timestamptz,
    check ((ecu_id is null) <> (zone_id is null))
  )`,
  `create index diagnostic_request_of on diagnostic_request (vin, request_id desc)`,
  `create index diagnostic_request_open on diagnostic_request (created_at) where completed_at is null`,
  `create index diagnostic_request_trim on diagnostic_request using brin (created_at)`,

  `create table command (
    command_id uuid primary key,
    vin text not null references vehicle on delete cascade,
    command text not null,
    params jsonb,
    status text not null default 'queued',
    result jsonb,
    issued_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    updated_at timestamptz not null default now()
  )`,
  `create index command_of on command (vin, command_id desc)`,
  `create index command_due on command (vin, command_id) where status in ('queued', 'sent')`,
  `create index command_expiry on command (expires_at) where status in ('queued', 'sent', 'delivered', 'accepted')`,

  `create table operator_token (
    token_id uuid primary key,
    name text not null,
    role text not null,
    token_sha256 bytea not null unique,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
  )`,
];
