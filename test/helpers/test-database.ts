import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";
import { copyTemplate } from "./database-template.ts";

/**
 * The database that a suite runs on: a new one on the PostgreSQL of LATTICEWAY_TEST_POSTGRES in the
 * `postgresql` project, the embedded one otherwise: in `dataDir` with its tables made already, or,
 * without one, wherever the gateway makes it.
 */
export async function testDatabase(
  dataDir?: string,
): Promise<{ url: string; drop: () => Promise<void> }> {
  const admin = process.env["LATTICEWAY_TEST_POSTGRES"];
  if (process.env["TEST_DATABASE"] !== "postgresql") {
    if (dataDir !== undefined) copyTemplate(inject("databaseTemplate"), dataDir);
    return { url: "", drop: async () => {} };
  }
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
