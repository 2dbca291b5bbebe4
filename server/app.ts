import { join } from "node:path";
import type { ServerConfig } from "#config/server.ts";
import { demandPki, ensureDevelopmentPki } from "#crypto/pki.ts";
import { DEFAULT_PROFILE, TLS_PROFILES } from "#crypto/profiles.ts";
import { auditChanges } from "#server/audit/changes.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { openDatabase, type Database } from "#server/database/connection.ts";
import { openCatalogues } from "#server/diagnostics/catalogue.ts";
import { catalogueRoutes } from "#server/diagnostics/catalogue-routes.ts";
import { openReleaseBook } from "#server/firmware/release-book.ts";
import { firmwareRoutes } from "#server/firmware/routes.ts";
import { healthRoutes } from "#server/http/health.ts";
import { openListener } from "#server/http/listen.ts";
import { startMaintenance } from "#server/maintenance/maintenance.ts";
import type { FirstAdmin } from "#server/operators/first-admin.ts";
import { ensureFirstToken } from "#server/operators/first-token.ts";
import { createAssembler } from "#server/packages/assemble.ts";
import { packageRoutes } from "#server/packages/routes.ts";
import type { Log } from "#server/runtime/log.ts";
import { createMetrics, type Metrics } from "#server/runtime/metrics.ts";
import { trackState, type StateTracker } from "#server/runtime/state.ts";
import { targetingRoutes } from "#server/targeting/routes.ts";
import { telemetryRoutes } from "#server/telemetry/routes.ts";
import { telemetryTopics } from "#server/telemetry/topics.ts";
import { metadataRoutes } from "#server/trust/metadata-routes.ts";
import { openTrust } from "#server/trust/open.ts";
import { packageSigners } from "#server/trust/package-signers.ts";
import { trustRoutes } from "#server/trust/routes.ts";
import { endBeforeLeaving } from "#server/updates/leaving.ts";
import { updateTopics } from "#server/updates/topics.ts";
import { trackPresence, type Presence } from "#server/vehicles/presence.ts";
import { vehicleRoutes } from "#server/vehicles/routes.ts";
import { vehicleTopics } from "#server/vehicles/topics.ts";
import { composeCommands } from "./commanding.ts";
import { composeDiagnosticRequests } from "./diagnostic-requests.ts";
import { composeRights } from "./diagnostic-rights.ts";
import { composeEvents } from "./events-out.ts";
import { composeFleet } from "./fleet.ts";
import { certified, createListeners, keyAlgorithms } from "./listeners.ts";
import { composeOperators } from "./operator-access.ts";
import { composeRemoteDiagnostics } from "./remote-diagnostics.ts";

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
    const parts = await compose(base);
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

interface Base {
  config: ServerConfig;
  log: Log;
  metrics: Metrics;
  state: StateTracker;
  presence: Presence;
  database: Database;
  /** How often another gateway's changes are looked for; undefined where there is none. */
  everyMs: number | undefined;
}

async function compose(base: Base) {
  const { config, log, metrics, state, presence, database } = base;
  const { db } = database;
  const blobs = await openDiskStore(join(config.data_dir, "blobs"));
  const { releases, trust } = await openReleases(base);
  const signers = packageSigners(trust, join(config.certs_dir, "signing"));
  // Leaves the public keys for vehicles that are provisioned before the first package.
  await signers();
  const { rights, rightsRoutes } = composeRights({ db, log });
  const operators = composeOperators({ db, config, audit: rights.audit, log });
  const listeners = await createListeners({ ...base, ...operators });
  const { mqtt, http } = listeners;

  const assembler = createAssembler({ db, blobs, signers });
  const catalogues = openCatalogues(config.diagnostics.catalogue_dir, log);
  const fleet = await composeFleet({
    ...base,
    db,
    releases,
    assembler,
    started: (vin) => remote.updateStarted(vin),
    deliver: (vin) => commands.deliver(vin),
  });
  const { newDtcs } = fleet.campaigns.progress;
  const remote = await composeRemoteDiagnostics({
    ...base,
    ...rights,
    db,
    mqtt,
    catalogues,
    newDtcs,
  });
  const { revocations } = remote;
  const { updates } = fleet;
  const commands = composeCommands({ ...base, db, mqtt, updates });
  const parts = { ...base, ...rights, db, mqtt, catalogues, revocations };
  const requests = composeDiagnosticRequests(parts);
  const events = composeEvents({ db, config, log });

  await http.register(healthRoutes({ db, metrics, state }));
  await http.register(
    async (api) => {
      auditChanges(api, rights.audit);
      for (const routes of operators.routes(remote.tokenRevoked)) await api.register(routes);
      await api.register(
        vehicleRoutes({
          db,
          minimumChanged: listeners.minimumChanged,
          leaving: (vin) => endBeforeLeaving(updates, vin),
        }),
      );
      await api.register(targetingRoutes({ db }));
      await api.register(
        firmwareRoutes({
          ...trust,
          blobs,
          releases: fleet.campaigns.catalogue,
          maxSize: config.firmware.max_size,
          level: config.firmware.compression_level,
        }),
      );
      await api.register(
        packageRoutes({
          db,
          blobs,
          metrics,
          downloadsPerVehicle: config.packages.downloads_per_vehicle,
        }),
      );
      for (const routes of listeners.certificateRoutes) await api.register(routes);
      await api.register(metadataRoutes(trust));
      await api.register(trustRoutes(trust));
      await api.register(commands.routes);
      await api.register(telemetryRoutes({ db }));
      await api.register(catalogueRoutes({ catalogues }));
      const others = [...requests.routes, ...rightsRoutes, ...remote.routes, ...fleet.routes];
      for (const routes of [...others, ...events.routes]) await api.register(routes);
    },
    { prefix: "/api/v1" },
  );

  const handlers = [
    ...vehicleTopics({ db, presence }),
    ...updateTopics({ ...updates, log }),
    ...commands.topics,
    ...telemetryTopics({ db, config: config.telemetry, presence, metrics, log }),
    ...requests.topics,
    ...remote.topics,
  ];
  for (const handler of handlers) mqtt.handle(handler);
  const renewTrust = async (now: Date) => {
    await trust.maintain(now);
    // Leaves the public keys of a rotation also when no package is asked for.
    await signers();
  };
  const stop = stopAll(commands, requests, remote, fleet, releases);
  const done = { http, mqtt, rights, requests, updates, renewTrust, listeners, catalogues };
  return { ...done, campaigns: fleet.campaigns, events, operators, remote, stop };
}

/** The catalogue in memory, and Uptane, which says what of it is published. */
async function openReleases({ config, log, metrics, database: { db }, everyMs }: Base) {
  const releases = await openReleaseBook({ db, everyMs, log });
  const imagesSettled = () => releases.refresh();
  const deps = { db, config: config.trust, metrics, log, imagesSettled };
  return { releases, trust: await openTrust(deps, config.certs_dir) };
}

function stopAll(...parts: { stop(): void }[]): () => void {
  return () => {
    for (const part of parts) part.stop();
  };
}

async function listen(
  {
    http,
    mqtt,
    rights,
    campaigns,
    events,
    operators,
    requests,
    updates,
    renewTrust,
    listeners,
    catalogues,
    remote,
    stop,
  }: Awaited<ReturnType<typeof compose>>,
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
    updates,
    campaigns,
    approvals: rights.approvals,
    renewTrust,
    requests,
    remote,
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
      const isRead = catalogues.reload();
      return (await listeners.reload()) && isRead;
    },
    async close() {
      clearInterval(flush);
      listeners.stop();
      const maintained = stopMaintenance();
      stop();
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
