import { sql, type Kysely } from "kysely";

/** Until when what an account of the OIDC issuer's has here is good; null: the gateway's own. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table operator_account add column vouched_until timestamptz`.execute(db);
  await sql`
    update operator_account set vouched_until = now() + interval '7 days' where issuer is not null
  `.execute(db);
  await sql`
    alter table operator_account
      add constraint operator_account_vouched check ((issuer is null) = (vouched_until is null))
  `.execute(db);
}
