import { sql, type Kysely } from "kysely";

/** Keeps a package as it was signed before, for the vehicles that it was assigned to. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table superseded_package (
    package_id text not null references package on delete cascade,
    sha256 text not null,
    signatures bytea not null,
    size bigint not null,
    expires_at timestamptz not null,
    primary key (package_id, sha256)
  )`,
  `create index superseded_package_expiry on superseded_package (expires_at)`,
  `alter table package_assignment add column sha256 text`,
  `update package_assignment set sha256 = package.sha256
    from package where package.package_id = package_assignment.package_id`,
  `alter table package_assignment alter column sha256 set not null`,
];
