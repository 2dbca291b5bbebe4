import { sql, type Kysely } from "kysely";

/** What became of updates: for each ECU, in numbers, and as the register of UN R156 wants it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Written once, when an update ends; ordinal 0: the first ECU of its update. completed_at has
  // milliseconds, as cursors have.
  `create table update_history (
    history_id bigint generated always as identity primary key,
    txid xid8 not null default pg_current_xact_id(),
    update_id uuid not null,
    ordinal smallint not null,
    vin text not null,
    campaign_id uuid,
    ecu_id text not null,
    zone_id text not null,
    ecu_type text not null,
    hardware_version text not null,
    firmware_id uuid not null,
    from_version text not null,
    to_version text not null,
    status text not null,
    error jsonb,
    created_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz not null
  )`,
  `create index update_history_order on update_history (txid, history_id)`,
  `create index update_history_time on update_history (completed_at, history_id)`,
  `create index update_history_vehicle on update_history (vin, completed_at, history_id)`,
  `create index update_history_firmware on update_history (firmware_id, completed_at, history_id)`,
  `create index update_history_ecu_type on update_history (ecu_type, completed_at, history_id)`,
  `create index update_history_campaign on update_history (campaign_id, completed_at, history_id)
    where campaign_id is not null`,
  `create index update_history_bad on update_history (status, completed_at, history_id)
    where status <> 'success'`,

  // Which updates have brought a firmware, also those under way.
  `create table update_firmware (
    firmware_id uuid not null,
    update_id uuid not null references vehicle_update on delete cascade,
    primary key (firmware_id, update_id)
  )`,
  `create index update_firmware_update on update_firmware (update_id)`,
  `insert into update_firmware
    select distinct (target ->> 'firmware_id')::uuid, update_id
    from vehicle_update, jsonb_array_elements(targets) target`,
  `insert into update_history (update_id, ordinal, vin, campaign_id, ecu_id, zone_id, ecu_type,
      hardware_version, firmware_id, from_version, to_version, status, error, created_at,
      started_at, completed_at)
    select update_id, ordinal - 1, vin, campaign_id, target ->> 'ecu_id', target ->> 'zone_id',
      target ->> 'ecu_type', target ->> 'hardware_version', (target ->> 'firmware_id')::uuid,
      target ->> 'from_version', target ->> 'to_version', status, error, created_at, started_at,
      date_trunc('milliseconds', completed_at)
    from vehicle_update, jsonb_array_elements(targets) with ordinality as each (target, ordinal)
    where completed_at is not null
    order by completed_at, update_id`,
  `create index update_event_bad on update_event (status, event_id)
    where status in ('failed', 'rolled_back')`,

  // Numbers of the history up to a place in it; maintenance moves that on. bucket: the logarithm of
  // the seconds that a success took, to the base 1.2.
  `create table update_statistic (
    day date not null,
    firmware_id uuid not null,
    ecu_type text not null,
    hardware_version text not null,
    campaign_id uuid not null default '00000000-0000-0000-0000-000000000000',
    status text not null,
    bucket smallint not null,
    ecus integer not null,
    updates integer not null,
    primary key (day, firmware_id, ecu_type, hardware_version, campaign_id, status, bucket)
  )`,
  `create table update_statistic_position (
    one boolean primary key default true check (one),
    txid xid8 not null,
    history_id bigint not null
  )`,
  `insert into update_statistic_position (txid, history_id) values ('0', 0)`,

  // audit_seq: the entry of the audit log that has the record's hash.
  `create table register_record (
    record_id uuid primary key,
    record_no bigint generated always as identity,
    kind text not null check (kind in ('issued', 'result')),
    update_id uuid not null,
    vin text not null,
    rxswins text[] not null,
    at timestamptz not null,
    record jsonb not null,
    hash bytea not null unique check (length(hash) = 32),
    audit_seq bigint
  )`,
  `create unique index register_record_update on register_record (update_id, kind)`,
  `create index register_record_vehicle on register_record (vin, record_id)`,
  `create index register_record_time on register_record (at, record_id)`,
  `create index register_record_rxswin on register_record using gin (rxswins)`,
  `create index register_record_open on register_record (record_no) where audit_seq is null`,
  `create function refuse_register_change() returns trigger language plpgsql as $$
    begin
      if tg_op = 'UPDATE' then
        if old.audit_seq is null and new.audit_seq is not null
          and to_jsonb(new) - 'audit_seq' = to_jsonb(old) - 'audit_seq'
        then
          return new;
        end if;
      end if;
      raise exception 'records of the register are final';
    end
  $$`,
  `create trigger register_record_final before update or delete on register_record
    for each row execute function refuse_register_change()`,
  `create trigger register_record_kept before truncate on register_record
    for each statement execute function refuse_register_change()`,
];
