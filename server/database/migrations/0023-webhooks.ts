import { sql, type Kysely } from "kysely";

/** Events in the order in which they are handed out, and who is told of them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // A transaction with a lower number may commit later; one that is below every transaction under
  // way never does. So this order, up to there, is one that nothing is added to.
  `create index event_order on event (txid, event_id)`,
  `create index event_of_kind on event (kind, txid, event_id)`,
  `create index event_of_vehicle on event (vin, txid, event_id) where vin is not null`,
  `create index event_of_subject on event (subject, txid, event_id) where subject is not null`,

  `create table webhook (
    webhook_id uuid primary key,
    url text not null,
    description text,
    kinds text[] not null,
    vin text,
    secret bytea not null,
    previous_secret bytea,
    previous_until timestamptz,
    active boolean not null,
    disabled_reason text,
    since_txid xid8 not null default pg_current_xact_id(),
    failures integer not null default 0,
    rests_until timestamptz,
    dead_since timestamptz,
    created_by text not null,
    created_at timestamptz not null default now()
  )`,

  // How far events have been given to webhooks; the gateway that locks the row goes on from there.
  `create table webhook_position (
    "only" boolean primary key default true check ("only"),
    txid xid8 not null,
    event_id bigint not null
  )`,
  `insert into webhook_position (txid, event_id) values ('0', 0)`,

  // A row waits until its time, or until whoever has claimed it must have ended.
  `create table webhook_delivery (
    delivery_id bigint generated always as identity primary key,
    webhook_id uuid not null references webhook on delete cascade,
    event_id bigint not null,
    status text not null check (status in ('waiting', 'delivered', 'dead')),
    attempts integer not null default 0,
    due_at timestamptz not null,
    answered smallint,
    error text,
    created_at timestamptz not null,
    tried_at timestamptz
  )`,
  `create index webhook_delivery_due on webhook_delivery (webhook_id, due_at)
    where status = 'waiting'`,
  `create index webhook_delivery_list on webhook_delivery (webhook_id, status, delivery_id)`,
  `create index webhook_delivery_trim on webhook_delivery using brin (created_at)`,
];
