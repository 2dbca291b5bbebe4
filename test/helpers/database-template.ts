import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import pino from "pino";
import { openDatabase } from "#server/database/connection.ts";

const root = join(import.meta.dirname, "../..");
const cache = join(root, "node_modules/.cache/latticeway");

/**
 * An embedded database with all tables and no rows, made by the gateway's own code and kept for the
 * next run with the same migrations: to make one takes longer than most suites.
 * @returns its folder
 */
export async function databaseTemplate(): Promise<string> {
  const folder = join(cache, `postgres-${fingerprint()}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const made = mkdtempSync(join(cache, "making-"));
  try {
    const config = { data_dir: made, database: { url: "", pool_size: 1 } };
    const database = await openDatabase(config, pino({ level: "silent" }));
    await database.close();
    renameSync(join(made, "postgres"), folder);
  } catch (error) {
    // Another run has made it meanwhile.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return folder;
}

/** Puts a copy where a gateway with this data folder has its database. */
export function copyTemplate(template: string, dataDir: string): void {
  mkdirSync(dataDir, { recursive: true });
  cpSync(template, join(dataDir, "postgres"), { recursive: true });
}

/** Of what the tables are made by. */
function fingerprint(): string {
  const migrations = join(root, "server/database/migrations");
  const hash = createHash("sha256");
  hash.update(readFileSync(join(root, "server/database/migrate.ts")));
  hash.update(readFileSync(join(root, "node_modules/@electric-sql/pglite/package.json")));
  // Says which of them are carried out.
  hash.update(readFileSync(join(root, "server/database/migrate.ts")));
  for (const file of readdirSync(migrations).sort()) {
    hash.update(file).update(readFileSync(join(migrations, file)));
  }
  return hash.digest("hex").slice(0, 16);
}
