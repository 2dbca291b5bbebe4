import { sql, type Kysely } from "kysely";

/** Requests that wait for their vehicle, for an approval or in a session; where their time went. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Each change of a row takes a new number: what a reader has seen is known by the last one.
  `create sequence diagnostic_request_revision`,
  `alter table diagnostic_request
    add column token_id uuid,
    add column session_id uuid,
    add column idempotency_key text,
    add column approved_by text,
    add column ttl_s integer not null default 0,
    add column expires_at timestamptz not null default now(),
    add column sent_at timestamptz,
    add column interlock text,
    add column hops json,
    add column revision bigint not null default nextval('diagnostic_request_revision')`,
  `create unique index diagnostic_request_key on diagnostic_request (requested_by, idempotency_key)
    where idempotency_key is not null`,
  `create index diagnostic_request_queued on diagnostic_request (vin, request_id) where status = 'queued'`,
  `create index diagnostic_request_session on diagnostic_request (session_id, request_id)
    where session_id is not null`,
  `create index diagnostic_request_revised on diagnostic_request (revision)`,
];
