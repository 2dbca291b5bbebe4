import { sql, type Kysely } from "kysely";

/** Finds what has ended long ago: certificates, revoked or not, and enrolment tokens. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create index certificate_end on certificate (not_after)`,
  `drop index certificate_expiry`,
  `create index enrollment_token_end on enrollment_token ((coalesce(used_at, expires_at)))`,
];
