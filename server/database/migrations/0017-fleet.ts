import { sql, type Kysely } from "kysely";

/** What a fleet is looked at by: what vehicles consist of, their tags and time zones; events. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Vehicles of a kind consist of the same: so many vehicles have few inventories.
  `create table inventory (
    inventory_id text primary key,
    ecus jsonb not null,
    created_at timestamptz not null default now()
  )`,
  `alter table vehicle
    add column inventory_id text references inventory,
    add column tags text[] not null default '{}',
    add column time_zone text,
    add column profile smallint generated always as ((connection ->> 'profile')::smallint) stored`,
  `create index vehicle_inventory on vehicle (inventory_id)`,

  `alter table vehicle_update
    add column campaign_id uuid,
    add column deadline_min real not null default 30,
    add column deadline_at timestamptz,
    add column deferral jsonb`,
  `create index vehicle_update_deadline on vehicle_update (deadline_at)
    where completed_at is null and deadline_at is not null`,

  // txid: an event is handed out once no earlier transaction can still add one before it.
  `create table event (
    event_id bigint generated always as identity primary key,
    txid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default now(),
    kind text not null,
    vin text,
    subject text,
    data jsonb not null
  )`,
  `create index event_trim on event using brin (at)`,
];
