import { sql } from "kysely";
import type { Db } from "#server/database/connection.ts";

/** What grows without end unless it is trimmed: the table, and which of its rows are done with. */
export const trimmed = {
  telemetry: sql`received_at < `,
  anomaly: sql`detected_at < `,
  vci: sql`not current and received_at < `,
  update_event: sql`update_id in (select update_id from vehicle_update where completed_at is not null) and received_at < `,
  // Before the events that they are about.
  webhook_delivery: sql`created_at < `,
  event: sql`at < `,
  diagnostic_request: sql`completed_at is not null and created_at < `,
  diagnostic_approval: sql`taken_up and decided_at < `,
  // Its steps go with it.
  diagnostic_script: sql`completed_at is not null and created_at < `,
  diagnostic_scan: sql`completed_at is not null and created_at < `,
  diagnostic_session: sql`ended_at < `,
  diagnostic_revocation: sql`changed_at < `,
  command: sql`status not in ('queued', 'sent', 'delivered', 'accepted') and updated_at < `,
  package_assignment: sql`expires_at < `,
  superseded_package: sql`expires_at < `,
  director_issue: sql`expires_at < `,
  certificate: sql`not_after < `,
  ended_minimum_profile: sql`ended_at < `,
  enrollment_token: sql`coalesce(used_at, expires_at) < `,
  // API tokens stay on record.
  operator_token: sql`kind <> 'api' and coalesce(ends_at, expires_at) < `,
  operator_login: sql`last_at < `,
} as const;

/** Deletes at most `limit` rows that are older than `before`. @returns how many */
export async function trim(
  db: Db,
  table: keyof typeof trimmed,
  before: Date,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from ${sql.table(table)} where ctid = any (array(
      select ctid from ${sql.table(table)} where ${trimmed[table]} ${before} limit ${limit}
    ))
  `.execute(db);
  return Number(numAffectedRows ?? 0n);
}
