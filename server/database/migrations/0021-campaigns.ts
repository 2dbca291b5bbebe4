import { sql, type Kysely } from "kysely";

/** Campaigns, the vehicles that take part in them, and what became of these in numbers. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table campaign (
    campaign_id uuid primary key,
    revision integer not null default 1,
    state text not null default 'draft',
    state_since timestamptz not null default now(),
    state_reason jsonb,
    name text not null,
    description text,
    releases uuid[] not null,
    filter text,
    vins text[],
    percentage double precision not null,
    waves jsonb not null,
    waves_opened timestamptz[] not null default '{}',
    gate_met_at timestamptz,
    critical boolean not null,
    starts_at timestamptz,
    ends_at timestamptz,
    dynamic boolean not null,
    stop_rule jsonb,
    deadline_min integer not null,
    soak_min integer not null,
    new_dtcs text not null check (new_dtcs in ('count', 'ignore')),
    min_profile smallint,
    cloned_from uuid,
    created_by text not null,
    authors text[] not null,
    created_at timestamptz not null default now(),
    submitted_by text,
    submitted_at timestamptz,
    approved_by text,
    approved_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    changed_at timestamptz not null default now()
  )`,
  `create index campaign_state on campaign (state, campaign_id desc)`,
  `create index campaign_changed on campaign (changed_at)`,

  // A vehicle has no row before its first package: membership is a matter of hash and filter. No
  // foreign key to the campaign, which every vehicle that joins would lock; one with rows stays.
  `create table campaign_vehicle (
    campaign_id uuid not null,
    vin text not null references vehicle on delete cascade,
    wave smallint not null,
    status text not null,
    update_id uuid,
    attempts integer not null default 0,
    reason jsonb,
    soak_until timestamptz,
    joined_at timestamptz not null default now(),
    finished_at timestamptz,
    changed_at timestamptz not null default now(),
    primary key (campaign_id, vin)
  )`,
  `create index campaign_vehicle_of on campaign_vehicle (vin)`,
  `create index campaign_vehicle_status on campaign_vehicle (campaign_id, status, vin)`,
  `create index campaign_vehicle_soak on campaign_vehicle (soak_until)
    where soak_until is not null`,

  // Many rows for one number, so that vehicles that end at the same time don't wait for each other.
  `create table campaign_counter (
    campaign_id uuid not null references campaign on delete cascade,
    wave smallint not null,
    ecu_type text not null,
    hardware_version text not null,
    slot smallint not null,
    started integer not null default 0,
    succeeded integer not null default 0,
    failed integer not null default 0,
    rolled_back integer not null default 0,
    reverted integer not null default 0,
    silent integer not null default 0,
    new_dtcs integer not null default 0,
    primary key (campaign_id, wave, ecu_type, hardware_version, slot)
  ) with (fillfactor = 70)`,
];
