import type { ServerConfig } from "#config/server.ts";
import { demandPki, ensureDevelopmentPki } from "#crypto/pki.ts";
import { DEFAULT_PROFILE, TLS_PROFILES } from "#crypto/profiles.ts";
import { openDatabase, type Database } from "#server/database/connection.ts";
import { openListener } from "#server/http/listen.ts";
import { startMaintenance } from "#server/maintenance/maintenance.ts";
import type { FirstAdmin } from "#server/operators/first-admin.ts";
import { ensureFirstToken } from "#server/operators/first-token.ts";
import type { Log } from "#server/runtime/log.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState } from "#server/runtime/state.ts";
import { trackPresence } from "#server/vehicles/presence.ts";
import { certified, keyAlgorithms } from "./listeners.ts";
import { composeParts, type Base, type Parts } from "./parts.ts";
import { handleTopics, registerRoutes } from "./surface.ts";

/** A running gateway. */
export interface App {
  ports: { https: number; mqtt: number };
  /** File with an admin token for the operator API. */
  tokenFile: string;
  /** The first account, when this start has made it: to be told once, and kept nowhere. */
  firstAdmin: FirstAdmin | undefined;
  database: Database["kind"];
  /**
   * Reads the certificates folder again, for new connections; also done when a file in it changes.
   * Reads the diagnostic catalogue again.
   * @returns whether what it holds is in use now
   */
  reload(): Promise<boolean>;
  /** Takes nothing new, finishes and stores what was accepted, then ends. */
  close(): Promise<void>;
}

/** How often sightings of vehicles are written. */
const PRESENCE_FLUSH_MS = 5000;

/**
 * Starts a gateway: the one place where its parts are put together.
 * @throws when the configuration can't be carried out (folder in use, port taken, database down)
 */
export async function startApp(config: ServerConfig, log: Log): Promise<App> {
  reportProfiles(config, log);
  await ensurePki(config, log);
  const database = await openDatabase(config, log);
  log.info(
    `Database: ${database.kind === "embedded" ? `embedded PostgreSQL in ${config.data_dir}` : "PostgreSQL"}`,
  );
  const state = trackState();
  const metrics = createMetrics(state);
  const presence = trackPresence(database.db, log);
  // Nobody else writes to an embedded database.
  const everyMs = database.kind === "embedded" ? undefined : config.certificates.poll_ms;
  const base = { config, log, metrics, state, presence, database, everyMs };
  try {
    const parts = await composeParts(base);
    await registerRoutes(parts, base);
    handleTopics(parts, base);
    try {
      return await listen(parts, base);
    } catch (error) {
      // One listener may be open already; it would keep the process, and whoever connects to it.
      parts.listeners.stop();
      parts.stop();
      await Promise.all([parts.http.close(), parts.mqtt.close()]);
      throw error;
    }
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** In development certificates are made where there are none; in production they must be there. */
async function ensurePki({ certs_dir, tls, trust }: ServerConfig, log: Log): Promise<void> {
  if (trust.mode === "production") {
    for (const problem of await demandPki(certs_dir, certified(tls.profiles))) log.warn(problem);
    return;
  }
  const algorithms = keyAlgorithms(tls.profiles);
  const pki = await ensureDevelopmentPki(certs_dir, { hostNames: tls.host_names, algorithms });
  for (const file of pki.made) log.info(`Development certificate made: ${file}`);
  for (const problem of pki.problems) log.warn(problem);
}

async function listen(
  {
    http,
    mqtt,
    rights,
    fleet,
    events,
    operators,
    requests,
    renewTrust,
    listeners,
    ...parts
  }: Parts,
  { config, log, state, presence, database }: Base,
): Promise<App> {
  const { db } = database;
  const tokenFile = await ensureFirstToken(db, config.data_dir);
  const firstAdmin = await operators.firstAdmin();
  log.info("Starting MQTT server...");
  const mqttPort = (await mqtt.listen()).port;
  log.info(`MQTT server started on ${config.mqtt.host}:${mqttPort}`);
  log.info("Starting HTTPS server...");
  const httpsPort = await openListener(http, config.https);
  log.info(`HTTPS server started on ${config.https.host}:${httpsPort}`);

  events.start();
  const stopMaintenance = startMaintenance({
    db,
    config,
    updates: fleet.updates,
    campaigns: fleet.campaigns,
    approvals: rights.approvals,
    renewTrust,
    requests,
    remote: parts.remote,
    state,
    log,
  });
  const flush = setInterval(() => void presence.flush(), PRESENCE_FLUSH_MS).unref();
  return {
    ports: { https: httpsPort, mqtt: mqttPort },
    tokenFile,
    firstAdmin,
    database: database.kind,
    async reload() {
      const isRead = parts.catalogues.reload();
      return (await listeners.reload()) && isRead;
    },
    async close() {
      clearInterval(flush);
      listeners.stop();
      const maintained = stopMaintenance();
      parts.stop();
      const ended = await Promise.allSettled([
        http.close(),
        mqtt.close(),
        events.stop(),
        maintained,
      ]);
      // Whatever went wrong there: what was seen is kept, and the database is closed last.
      try {
        await presence.flush();
      } finally {
        await database.close();
      }
      for (const each of ended) if (each.status === "rejected") throw each.reason;
    },
  };
}

function reportProfiles(config: ServerConfig, log: Log): void {
  const [first = DEFAULT_PROFILE] = config.tls.profiles;
  const nameOf = (id: number) => `${id} (${TLS_PROFILES[id]?.name})`;
  log.info("Initializing PQC profiles...");
  log.info(`  Loaded ${TLS_PROFILES.length} PQC configurations`);
  log.info(`  Default: ${TLS_PROFILES[first]?.name}`);
  log.info(`  Enabled: ${config.tls.profiles.map(nameOf).join(", ")}`);
}
