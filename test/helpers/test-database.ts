import { inject } from "vitest";
import { copyTemplate } from "./database-template.ts";
import { postgresDatabase } from "./postgresql.ts";

/**
 * The database that a suite runs on: a new one on the PostgreSQL of LATTICEWAY_TEST_POSTGRES in the
 * `postgresql` project, the embedded one otherwise. With a `dataDir`, which is where the embedded one
 * is put, it has its tables already; without one the gateway makes them, wherever that is.
 */
export async function testDatabase(
  dataDir?: string,
): Promise<{ url: string; drop: () => Promise<void> }> {
  const template = dataDir === undefined ? undefined : inject("databaseTemplate");
  if (process.env["TEST_DATABASE"] === "postgresql") return postgresDatabase(template);
  if (dataDir !== undefined && template !== undefined) copyTemplate(template, dataDir);
  return { url: "", drop: async () => {} };
}
