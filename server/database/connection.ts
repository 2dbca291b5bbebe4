import { Kysely, PostgresDialect, type Transaction } from "kysely";
import pg from "pg";
import type { ServerConfig } from "#config/server.ts";
import type { Log } from "#server/runtime/log.ts";
import { startEmbedded, type Embedded } from "./embedded.ts";
import { migrateToLatest } from "./migrate.ts";
import { preparing } from "./prepared.ts";
import type { Tables } from "./tables.ts";

export type Db = Kysely<Tables>;
export type Tx = Transaction<Tables>;

export interface Database {
  db: Db;
  kind: "embedded" | "postgresql";
  close(): Promise<void>;
}

/** The embedded database can't be opened: its folder is in use, or can't be read or written. */
export class DatabaseError extends Error {
  readonly code = "DATABASE_NOT_OPENED";

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = "DatabaseError";
  }
}

/**
 * Opens the configured database and brings its tables up to date.
 * @throws DatabaseError when the embedded database can't be opened; the driver's error when
 *   PostgreSQL can't be reached; the error of a migration that fails
 */
export async function openDatabase(
  config: Pick<ServerConfig, "database" | "data_dir">,
  log: Log,
): Promise<Database> {
  const { url, pool_size } = config.database;
  const embedded = url === "" ? await openEmbedded(config.data_dir) : undefined;
  const pool = new pg.Pool({
    // The embedded database is one session: a second connection would only wait for the first.
    ...(embedded ? { ...embedded.connection, max: 1 } : { connectionString: url, max: pool_size }),
    types: { getTypeParser },
  });
  pool.on("error", (error) => log.error({ err: error }, "Database connection lost"));
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: preparing(pool) }) });
  const close = async () => {
    await db.destroy();
    await embedded?.stop();
  };
  try {
    await migrateToLatest(db);
  } catch (error) {
    await close();
    throw error;
  }
  return { db, kind: embedded ? "embedded" : "postgresql", close };
}

function openEmbedded(dataDir: string): Promise<Embedded> {
  return startEmbedded(dataDir).catch((error: unknown) => {
    throw new DatabaseError(error);
  });
}

const INT8: number = pg.types.builtins.INT8;

/** int8 as a number: counts and sizes stay far below 2^53, and a larger one must not be rounded. */
function getTypeParser(oid: number, format?: "text" | "binary") {
  if (oid === INT8 && format !== "binary") {
    return (text: string) => {
      const value = Number(text);
      if (!Number.isSafeInteger(value)) throw new RangeError(`int8 out of range: ${text}`);
      return value;
    };
  }
  return pg.types.getTypeParser(oid, format);
}
