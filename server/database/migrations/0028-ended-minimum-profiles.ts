import { sql, type Kysely } from "kysely";

/** Vehicles that were removed, while there may be a gateway that demands a minimum profile of them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table ended_minimum_profile (
      vin text primary key,
      ended_at timestamptz not null
    )
  `.execute(db);
}
