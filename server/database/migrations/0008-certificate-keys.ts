import { sql, type Kysely } from "kysely";

/** Which certificates are for one key; unknown for those that are on record already. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(`alter table certificate add column key_sha256 text`).execute(db);
  await sql.raw(`create index certificate_key on certificate (key_sha256)`).execute(db);
}
