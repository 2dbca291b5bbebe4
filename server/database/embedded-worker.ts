import { parentPort, workerData } from "node:worker_threads";
import { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";

// In a thread of its own: in the main thread a slow query would stall every connection.
const { folder, path } = workerData as { folder: string; path: string };
const db = await PGlite.create(folder);
const server = new PGLiteSocketServer({ db, path, maxConnections: 4 });
await server.start();

parentPort?.once("message", () => {
  void server
    .stop()
    .then(() => db.close())
    .then(() => parentPort?.close());
});
parentPort?.postMessage("ready");
