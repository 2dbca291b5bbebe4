import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Worker } from "node:worker_threads";

export interface Embedded {
  connection: { host: string; port: number; user: string; database: string };
  stop(): Promise<void>;
}

/**
 * Starts embedded PostgreSQL (PGlite) on `{dataDir}/postgres` in a worker thread, reachable by a
 * Unix socket in a folder that only this user can enter.
 * @throws when another process uses the folder
 */
export async function startEmbedded(dataDir: string): Promise<Embedded> {
  const folder = resolve(dataDir, "postgres");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = await lockFolder(folder);
  const socketFolder = mkdtempSync(join(tmpdir(), "latticeway-"));
  const port = 5432;
  const worker = new Worker(new URL("./embedded-worker.ts", import.meta.url), {
    workerData: { folder, path: join(socketFolder, `.s.PGSQL.${port}`) },
  });
  const release = async () => {
    rmSync(socketFolder, { recursive: true, force: true });
    await new Promise((done) => lock.close(done));
  };
  try {
    await untilReady(worker);
  } catch (error) {
    await release();
    throw error;
  }
  return {
    connection: { host: socketFolder, port, user: "postgres", database: "postgres" },
    async stop() {
      const ended = new Promise((done) => worker.once("exit", done));
      worker.postMessage("stop");
      await ended;
      await release();
    },
  };
}

function untilReady(worker: Worker): Promise<void> {
  return new Promise((ready, fail) => {
    worker.once("message", () => ready());
    worker.once("error", fail);
    worker.once("exit", () => fail(new Error("the embedded database ended while starting")));
  });
}

/**
 * PGlite takes no lock and a second process would lose rows silently. A listening socket named by
 * the folder is a lock that the kernel releases when its process ends, however it ends.
 */
function lockFolder(folder: string): Promise<Server> {
  const name = `latticeway-${createHash("sha256").update(folder).digest("hex").slice(0, 32)}`;
  const path =
    process.platform === "linux"
      ? `\0${name}`
      : process.platform === "win32"
        ? `\\\\.\\pipe\\${name}`
        : join(tmpdir(), `${name}.lock`);
  return new Promise((locked, fail) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) =>
      fail(
        error.code === "EADDRINUSE"
          ? new Error(
              `${folder} is in use by another process: stop it, or set data_dir or DATABASE_URL`,
            )
          : error,
      ),
    );
    server.listen(path, () => locked(server.unref()));
  });
}
