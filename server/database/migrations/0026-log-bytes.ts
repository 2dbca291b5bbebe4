import { sql, type Kysely } from "kysely";

/** How much of its package a vehicle says that it has. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table update_event
      add column bytes_downloaded bigint check (bytes_downloaded >= 0)
  `.execute(db);
}
