import { sql, type Kysely } from "kysely";

/** How far an operator's token lets them go with diagnostics, where it says so itself. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(statement).execute(db);
}

const statement = `alter table operator_token add column diagnostic_level text
  check (diagnostic_level in ('none', 'read', 'write', 'control'))`;
