import { Gauge, type Registry } from "prom-client";
import type { Db } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import type { TlsFiles } from "#server/runtime/tls-files.ts";
import { countExpiring } from "./queries.ts";

const DAY = 86_400_000;
const SOON_DAYS = 30;
/** The vehicles are counted at most this often. */
const COUNT_MS = 60_000;

/** Shows when the gateway's certificates expire, and how many vehicles have not renewed theirs. */
export function watchExpiry(deps: {
  registry: Registry;
  files: () => TlsFiles;
  db: Db;
  log: Log;
}): void {
  const { registry, files, db, log } = deps;
  const registers = [registry];
  new Gauge({
    name: "latticeway_certificate_expires_seconds",
    help: "Seconds until a certificate of the gateway or of an authority expires; below 0 it has",
    labelNames: ["certificate"],
    registers,
    collect() {
      this.reset();
      for (const { name, notAfter } of files().certificates) {
        this.set({ certificate: name }, Math.round((notAfter.getTime() - Date.now()) / 1000));
      }
    },
  });
  let counted = -Infinity;
  new Gauge({
    name: "latticeway_vehicle_certificates_expiring",
    help: `Vehicles whose last certificate issued here expires within ${SOON_DAYS} days`,
    registers,
    async collect() {
      if (performance.now() - counted < COUNT_MS) return;
      try {
        this.set(await countExpiring(db, new Date(Date.now() + SOON_DAYS * DAY)));
        counted = performance.now();
      } catch (error) {
        // What it was before stands: the other metrics are wanted most when the database is away.
        log.warn({ err: error }, "Expiring certificates could not be counted");
      }
    },
  });
}
