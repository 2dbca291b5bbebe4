import { sql, type Kysely } from "kysely";

/** Until when a temporary password is good; null: it has no end. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table operator_account
      add column password_expires_at timestamptz
        check (password_expires_at is null or password_temporary)
  `.execute(db);
}
