import { sql, type Kysely } from "kysely";

/** The register also says what was taken back after its update had succeeded, ECU after ECU if need be. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `alter table register_record drop constraint register_record_kind_check`,
  `alter table register_record add constraint register_record_kind_check
    check (kind in ('issued', 'result', 'reverted'))`,
  `drop index register_record_update`,
  `create unique index register_record_update on register_record (update_id, kind)
    where kind <> 'reverted'`,
  `create index register_record_reverted on register_record (update_id) where kind = 'reverted'`,
];
