import type { Server as TlsServer } from "node:tls";
import type { ServerConfig } from "#config/server.ts";
import { folderIssuer } from "#crypto/certificate-issuer.ts";
import { HYBRID_ALGORITHMS, type KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { findProfile } from "#crypto/profiles.ts";
import { watchExpiry } from "#server/certificates/expiry.ts";
import { createRevocationLists } from "#server/certificates/revocation-list.ts";
import { followRevocations } from "#server/certificates/revocation.ts";
import { certificateRoutes } from "#server/certificates/routes.ts";
import { vehicleCertificateRoutes } from "#server/certificates/vehicle-routes.ts";
import type { Database } from "#server/database/connection.ts";
import type { Authenticate } from "#server/http/access.ts";
import { createHttp } from "#server/http/server.ts";
import { createMqtt } from "#server/mqtt/broker.ts";
import { createAdmission } from "#server/runtime/admission.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import { loadTlsFiles, reloadTlsFiles } from "#server/runtime/tls-files.ts";
import { followMinimumProfiles } from "#server/vehicles/minimum-profiles.ts";
import type { Presence } from "#server/vehicles/presence.ts";

export interface ListenerDeps {
  config: ServerConfig;
  log: Log;
  metrics: Metrics;
  state: StateTracker;
  presence: Presence;
  database: Database;
  /** How often another gateway's changes are looked for; undefined where there is none. */
  everyMs: number | undefined;
  authenticate: Authenticate;
}

const DAY = 86_400_000;

/** The two listeners, the certificates that they show, and whom they refuse. */
export async function createListeners(deps: ListenerDeps) {
  const { config, log, metrics, state, presence, database, everyMs } = deps;
  const { db } = database;
  const folder = config.certs_dir;
  const admission = createAdmission(log);
  const minimums = await followMinimumProfiles({ db, admission, everyMs, log });
  const issuer = folderIssuer(folder);
  const { vehicle_days, crl_h: hours } = config.certificates;
  const lists = createRevocationLists({ db, issuer, hours });
  const revocations = await followRevocations({ db, admission, lists, everyMs, log });
  const initial = await loadTlsFiles(folder);
  const listener = { config, ...initial, log, metrics, state, admission };
  const mqtt = await createMqtt({
    ...listener,
    vehicleSeen: (vin, connection) => presence.seen(vin, { connection, via: "mqtt" }),
  });
  const http = await createHttp({
    ...listener,
    authenticate: deps.authenticate,
    vehicleSeen: (vin, connection) => presence.seen(vin, { connection, via: "https" }),
  });
  const servers = [mqtt, http.server as unknown as TlsServer];
  const { profiles } = config.tls;
  const tls = reloadTlsFiles({ folder, profiles, initial, servers, log });
  watchExpiry({ registry: metrics.registry, files: tls.files, db, log });

  const issuing = { db, issuer, algorithms: certified(profiles), log };
  return {
    mqtt,
    http,
    minimumChanged: minimums.refresh,
    certificateRoutes: [
      certificateRoutes({ db, issuer, revocations, lists, log }),
      vehicleCertificateRoutes({ ...issuing, lifetimeMs: vehicle_days * DAY }),
    ],
    reload: tls.reload,
    stop() {
      tls.stop();
      minimums.stop();
      revocations.stop();
    },
  };
}

/** Kinds of keys that vehicles and the gateway can use with these profiles. */
export function certified(profiles: readonly number[]): KeyAlgorithm[] {
  return [...new Set(profiles.flatMap((id) => findProfile(id)?.certificate ?? []))];
}

/** Kinds of keys to have certificates for: the hybrid pair always, and what the profiles need. */
export function keyAlgorithms(profiles: readonly number[]): KeyAlgorithm[] {
  return [...new Set([...HYBRID_ALGORITHMS, ...certified(profiles)])];
}
