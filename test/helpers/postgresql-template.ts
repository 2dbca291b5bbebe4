import pino from "pino";
import { openDatabase } from "#server/database/connection.ts";
import { postgresDatabase, type PostgresDatabase } from "./postgresql.ts";

/** A database with all tables and no rows, for this run to copy: on PostgreSQL that is quick to make. */
export async function postgresqlTemplate(): Promise<PostgresDatabase> {
  const made = await postgresDatabase();
  try {
    const config = { data_dir: "", database: { url: made.url, pool_size: 1 } };
    const database = await openDatabase(config, pino({ level: "silent" }));
    await database.close();
  } catch (error) {
    await made.drop();
    throw error;
  }
  return made;
}
