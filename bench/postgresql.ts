import { execFileSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, start } from "./child.ts";
import { PeerMissing } from "./peers.ts";
import { freePort, isListening, until } from "./until.ts";

export interface PostgreSql {
  url: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Where Debian puts the programs of each major version. */
const DEBIAN = "/usr/lib/postgresql";

/** Folder of `initdb` and `postgres`, of the newest version; undefined when there is none. */
export function postgresqlFolder(): string | undefined {
  if (!existsSync(DEBIAN)) return undefined;
  const versions = readdirSync(DEBIAN).toSorted((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => join(DEBIAN, version, "bin"))
    .find((folder) => existsSync(join(folder, "initdb")));
}

/**
 * Starts PostgreSQL with its own defaults (`fsync` and `synchronous_commit` on) on a fresh cluster.
 * @throws PeerMissing
 */
export async function startPostgresql(): Promise<PostgreSql> {
  const programs = postgresqlFolder();
  if (programs === undefined) throw new PeerMissing("PostgreSQL", "apt-get install postgresql");
  const folder = mkdtempSync(join(tmpdir(), "latticeway-bench-pg-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const user = unprivileged();
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const options = { cwd: folder, ...(user === undefined ? {} : { user }) };
  const data = join(folder, "data");
  await run([join(programs, "initdb"), "-D", data, "-U", "postgres", "-A", "trust"], options);
  const port = await freePort();
  const child = start(
    [join(programs, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", folder],
    options,
  );
  await until("PostgreSQL", () => isListening(port));
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    // SIGINT is PostgreSQL's fast shutdown.
    [Symbol.asyncDispose]: () => child.stop("SIGINT"),
  };
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}
