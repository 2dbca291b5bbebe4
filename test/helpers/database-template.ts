import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
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
    // template1 and template0, from which nobody makes a database here: more files than our own has.
    for (const oid of [1, 4]) emptyFolder(join(made, "postgres/base", String(oid)));
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
  contents ??= readContents(template);
  const copy = join(dataDir, "postgres");
  mkdirSync(dataDir, { recursive: true });
  for (const { path, mode } of contents.folders) mkdirSync(join(copy, path), { mode });
  for (const { path, begin, size } of contents.files) {
    const file = join(copy, path);
    writeFileSync(file, begin);
    if (size > begin.length) truncateSync(file, size);
  }
}

interface Contents {
  folders: { path: string; mode: number }[];
  /** All beyond `begin` is zeros, which are most of the write-ahead log: they need not be written. */
  files: { path: string; begin: Buffer; size: number }[];
}

/** The same for every suite of a worker, so read once. */
let contents: Contents | undefined;

function readContents(template: string): Contents {
  const entries = readdirSync(template, { recursive: true, withFileTypes: true }).map((entry) => ({
    path: relative(template, join(entry.parentPath, entry.name)),
    isFile: entry.isFile(),
  }));
  const folders = ["", ...entries.filter(({ isFile }) => !isFile).map(({ path }) => path)].sort();
  return {
    folders: folders.map((path) => ({ path, mode: statSync(join(template, path)).mode })),
    files: entries
      .filter(({ isFile }) => isFile)
      .map(({ path }) => {
        const bytes = readFileSync(join(template, path));
        const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
        return { path, begin: bytes.subarray(0, end), size: bytes.length };
      }),
  };
}

function emptyFolder(path: string): void {
  rmSync(path, { recursive: true });
  mkdirSync(path);
}

/** Of what the tables are made by. */
function fingerprint(): string {
  const migrations = join(root, "server/database/migrations");
  const hash = createHash("sha256");
  hash.update(readFileSync(import.meta.filename));
  hash.update(readFileSync(join(root, "node_modules/@electric-sql/pglite/package.json")));
  // Says which of them are carried out.
  hash.update(readFileSync(join(root, "server/database/migrate.ts")));
  for (const file of readdirSync(migrations).sort()) {
    hash.update(file).update(readFileSync(join(migrations, file)));
  }
  return hash.digest("hex").slice(0, 16);
}
