import { sql, type Kysely } from "kysely";

/** Vehicles' certificates, enrolment tokens, revocation lists, and the vehicles' least profile. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `alter table vehicle add column min_profile smallint, add column min_profile_set_at timestamptz`,
  `create index vehicle_min_profile on vehicle (min_profile_set_at) where min_profile_set_at is not null`,

  // A vehicle may have a certificate before it registers.
  `create table certificate (
    certificate_id uuid primary key,
    fingerprint text not null unique,
    vin text not null,
    serial text not null,
    issuer text,
    algorithm text not null,
    not_before timestamptz not null,
    not_after timestamptz not null,
    issued_at timestamptz not null default now(),
    issued_by text not null,
    revoked_at timestamptz,
    revoked_by text,
    revocation_reason text
  )`,
  `create index certificate_of on certificate (vin, certificate_id desc)`,
  `create index certificate_expiry on certificate (not_after) where revoked_at is null`,
  `create index certificate_revoked on certificate (revoked_at) where revoked_at is not null`,

  `create table enrollment_token (
    token_id uuid primary key,
    vin text not null,
    token_sha256 bytea not null unique,
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
  )`,

  `create table revocation_list (
    issuer text primary key,
    number bigint not null,
    this_update timestamptz not null,
    next_update timestamptz not null,
    entries integer not null,
    der bytea not null
  )`,
];
