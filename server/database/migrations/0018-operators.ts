import { sql, type Kysely } from "kysely";

/** Accounts of operators, their logins, and what a token is for. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // A name is given once, for good: the audit log and whoever decides on others' work go by it.
  `create table operator_name (
    name_key text primary key,
    name text not null,
    kind text not null check (kind in ('account', 'token'))
  )`,
  `insert into operator_name
    select distinct on (1) lower(normalize(name, NFKC)), name, 'token'
    from operator_token order by 1, token_id`,

  `create table operator_account (
    account_id uuid primary key,
    name text not null unique,
    display_name text,
    role text not null,
    diagnostic_level text check (diagnostic_level in ('none', 'read', 'write', 'control')),
    password_hash text,
    password_temporary boolean not null default false,
    issuer text,
    subject text,
    disabled_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    unique (issuer, subject)
  )`,

  // Without a role of its own it is the account's. A session has a token to call with until
  // access_expires_at, and another to get the next one until expires_at; never after ends_at.
  `alter table operator_token
    alter column role drop not null,
    add column kind text not null default 'api' check (kind in ('api', 'session', 'oidc')),
    add column account_id uuid references operator_account,
    add column scopes text[],
    add column access_expires_at timestamptz,
    add column family_sha256 bytea unique,
    add column refresh_sha256 bytea,
    add column ends_at timestamptz,
    add column used_at timestamptz,
    add column source text,
    add column id_token_sha256 bytea unique,
    add check (account_id is not null or (kind = 'api' and role is not null))`,
  `create index operator_token_of on operator_token (account_id, token_id)
    where account_id is not null`,
  `create index operator_token_trim on operator_token (coalesce(ends_at, expires_at)) where kind <> 'api'`,

  // By the hash of a name, whether or not anybody has it.
  `create table operator_login (
    name_sha256 bytea primary key,
    failures integer not null,
    locked_until timestamptz,
    last_at timestamptz not null
  )`,
  `create index operator_login_trim on operator_login (last_at)`,
];
