import { sql, type Kysely } from "kysely";

/**
 * Makes telemetry cheap to store: half of what a row costs the database was its primary key and the
 * conversion to jsonb, which nothing asks for. A sample is found by vehicle and time, and is shown as
 * it came.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `alter table telemetry
    drop constraint telemetry_pkey,
    alter column vin type text collate "C",
    alter column signals type json using signals::json`,
  // Samples of one instant are told apart by their id, which an index need not know for that.
  `create index telemetry_of on telemetry (vin, ts)`,
];
