import { inject } from "vitest";
import { copyTemplate } from "./database-template.ts";
import { postgresDatabase } from "./postgresql.ts";

/**
 * The database that a suite runs on, with all tables and no rows: a new one on the PostgreSQL of
 * LATTICEWAY_TEST_POSTGRES in the `postgresql` project, the embedded one in `dataDir` otherwise.
 */
export async function testDatabase(
  dataDir: string,
): Promise<{ url: string; drop: () => Promise<void> }> {
  const template = inject("databaseTemplate");
  if (process.env["TEST_DATABASE"] === "postgresql") return postgresDatabase(template);
  copyTemplate(template, dataDir);
  return { url: "", drop: async () => {} };
}
