import pino from "pino";
import { openDatabase, type Database } from "#server/database/connection.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { testDatabase } from "#test/helpers/test-database.ts";

export interface OwnDatabase extends Database {
  /** Closes it, as a gateway does when it ends, and opens it again. */
  reopen(): Promise<void>;
  folder: string;
  /** What to open it again with. */
  config: { data_dir: string; database: { url: string; pool_size: number } };
  /** Closes it and removes everything. */
  remove(): Promise<void>;
}

export const silentLog = pino({ level: "silent" });

/** A database of this test alone, without a gateway on it. */
export async function ownDatabase(): Promise<OwnDatabase> {
  const folder = temporaryFolder();
  const place = await testDatabase(folder.path);
  const config = { data_dir: folder.path, database: { url: place.url, pool_size: 5 } };
  const own: OwnDatabase = {
    ...(await openDatabase(config, silentLog)),
    folder: folder.path,
    config,
    async reopen() {
      await own.close();
      Object.assign(own, await openDatabase(config, silentLog));
    },
    async remove() {
      await own.close();
      await place.drop();
      folder.remove();
    },
  };
  return own;
}
