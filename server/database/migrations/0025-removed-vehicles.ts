import { sql, type Kysely } from "kysely";

/** What outlives a vehicle that is removed. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // What was done to it is history.
  `alter table vehicle_update drop constraint vehicle_update_vin_fkey`,
  `alter table campaign_vehicle drop constraint if exists campaign_vehicle_vin_fkey`,
  // One that comes back refuses targets of a lower version than it has seen.
  `alter table director_issue drop constraint director_issue_vin_fkey`,
];
