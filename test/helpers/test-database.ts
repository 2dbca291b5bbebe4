import { randomBytes } from "node:crypto";
import pg from "pg";

/**
 * The database that a suite runs on: a new one on the PostgreSQL of LATTICEWAY_TEST_POSTGRES in the
 * `postgresql` project, the embedded one otherwise.
 */
export async function testDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const admin = process.env["LATTICEWAY_TEST_POSTGRES"];
  if (process.env["TEST_DATABASE"] !== "postgresql") return { url: "", drop: async () => {} };
  if (!admin) throw new Error("LATTICEWAY_TEST_POSTGRES is not set");
  const name = `latticeway_${randomBytes(6).toString("hex")}`;
  await run(admin, `create database ${name}`);
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => run(admin, `drop database ${name} with (force)`) };
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
