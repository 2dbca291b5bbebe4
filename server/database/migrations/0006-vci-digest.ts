import { sql, type Kysely } from "kysely";

/** Tells a signed VCI that is sent again, for want of the answer, from another under its nonce. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(`alter table vci add column digest bytea`).execute(db);
}
