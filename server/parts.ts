import { join } from "node:path";
import type { ServerConfig } from "#config/server.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { type Database } from "#server/database/connection.ts";
import { openCatalogues } from "#server/diagnostics/catalogue.ts";
import { openReleaseBook } from "#server/firmware/release-book.ts";
import { createAssembler } from "#server/packages/assemble.ts";
import type { Log } from "#server/runtime/log.ts";
import { type Metrics } from "#server/runtime/metrics.ts";
import { type StateTracker } from "#server/runtime/state.ts";
import { openTrust } from "#server/trust/open.ts";
import { packageSigners } from "#server/trust/package-signers.ts";
import { type Presence } from "#server/vehicles/presence.ts";
import { composeCommands } from "./commanding.ts";
import { composeDiagnosticRequests } from "./diagnostic-requests.ts";
import { composeRights } from "./diagnostic-rights.ts";
import { composeEvents } from "./events-out.ts";
import { composeFleet } from "./fleet.ts";
import { createListeners } from "./listeners.ts";
import { composeOperators } from "./operator-access.ts";
import { composeRemoteDiagnostics } from "./remote-diagnostics.ts";

/** What parts of the gateway are made with. */
export interface Base {
  config: ServerConfig;
  log: Log;
  metrics: Metrics;
  state: StateTracker;
  presence: Presence;
  database: Database;
  /** How often another gateway's changes are looked for; undefined where there is none. */
  everyMs: number | undefined;
}

export type Parts = Awaited<ReturnType<typeof composeParts>>;

/** The gateway's parts, joined to each other; nobody can reach them yet. */
export async function composeParts(base: Base) {
  const { config, log, database } = base;
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
  const commands = composeCommands({ ...base, db, mqtt, updates: fleet.updates });
  const requests = composeDiagnosticRequests({
    ...base,
    ...rights,
    db,
    mqtt,
    catalogues,
    revocations,
  });
  const events = composeEvents({ db, config, log });

  const renewTrust = async (now: Date) => {
    await trust.maintain(now);
    // Leaves the public keys of a rotation also when no package is asked for.
    await signers();
  };
  const stop = stopAll(commands, requests, remote, fleet, releases);
  return {
    blobs,
    catalogues,
    commands,
    events,
    fleet,
    http,
    listeners,
    mqtt,
    operators,
    remote,
    renewTrust,
    requests,
    rights,
    rightsRoutes,
    stop,
    trust,
  };
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
