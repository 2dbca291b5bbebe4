import { sql, type Kysely } from "kysely";

/** Keeps what a vehicle's signed manifest says of attacks. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(`alter table vci add column attacks jsonb not null default '[]'`).execute(db);
}
