import { sql, type Kysely } from "kysely";

/** Uptane: published metadata, what each vehicle was told, signed evidence, publication. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // Images from before have no SHA-512; SHA-256 alone names them.
  `alter table firmware add column sha512 text, add column published_at timestamptz`,
  `create index firmware_awaiting on firmware (firmware_id) where published_at is null`,

  `alter table vci
    add column evidence text not null default 'unsigned' check (evidence in ('signed', 'unsigned')),
    add column nonce text`,

  // A row to lock: whoever adds to a repository's metadata does it alone.
  `create table trust_repository (
    repository text primary key check (repository in ('director', 'image'))
  )`,
  `insert into trust_repository values ('director'), ('image')`,
  `create table trust_metadata (
    repository text not null references trust_repository,
    role text not null,
    version bigint not null,
    bytes bytea not null,
    expires_at timestamptz not null,
    live boolean not null,
    created_at timestamptz not null default now(),
    primary key (repository, role, version)
  )`,
  // Which role a key was made for, until a root names it.
  `create table trust_key (
    key_id text primary key,
    repository text not null references trust_repository,
    role text not null,
    public_key text not null,
    created_at timestamptz not null default now()
  )`,

  `create table director_issue (
    vin text not null references vehicle on delete cascade,
    version bigint not null,
    root_version bigint not null,
    update_id uuid,
    vci_id uuid,
    expires_at timestamptz not null,
    timestamp bytea not null,
    snapshot bytea not null,
    targets bytea not null,
    primary key (vin, version)
  )`,
  `create index director_issue_expiry on director_issue (expires_at)`,
  `create table vehicle_trust (
    vin text primary key references vehicle on delete cascade,
    director_root bigint,
    image_root bigint
  )`,
];
