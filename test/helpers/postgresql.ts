import { randomBytes } from "node:crypto";
import pg from "pg";

export interface PostgresDatabase {
  name: string;
  url: string;
  drop: () => Promise<void>;
}

/**
 * A new database on the PostgreSQL of LATTICEWAY_TEST_POSTGRES.
 * @param template name of the database that it begins as a copy of, otherwise empty
 * @throws when LATTICEWAY_TEST_POSTGRES is not set
 */
export async function postgresDatabase(template = "template1"): Promise<PostgresDatabase> {
  const admin = process.env["LATTICEWAY_TEST_POSTGRES"];
  if (!admin) throw new Error("LATTICEWAY_TEST_POSTGRES is not set");
  const name = `latticeway_${randomBytes(6).toString("hex")}`;
  await run(admin, `create database ${name} template ${template}`);
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return { name, url: url.href, drop: () => run(admin, `drop database ${name} with (force)`) };
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
