import type { ServerConfig } from "#config/server.ts";
import type { Catalogues } from "#protocol/uds/catalogue.ts";
import type { Db } from "#server/database/connection.ts";
import { createChallenges } from "#server/diagnostic-runs/challenges.ts";
import { loadKeys } from "#server/diagnostic-runs/keys.ts";
import { scanRoutes } from "#server/diagnostic-runs/scan-routes.ts";
import { createScans, type ScanDeps } from "#server/diagnostic-runs/scans.ts";
import { scriptRoutes } from "#server/diagnostic-runs/script-routes.ts";
import { createScripts } from "#server/diagnostic-runs/scripts.ts";
import { diagnosticEventTopics } from "#server/diagnostic-runs/topics.ts";
import { createRevocations } from "#server/diagnostic-sessions/revoke.ts";
import { sessionRoutes } from "#server/diagnostic-sessions/routes.ts";
import { createSessions } from "#server/diagnostic-sessions/service.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import { createWaiters } from "#server/runtime/waiters.ts";
import type { DiagnosticRights } from "./diagnostic-rights.ts";

export interface RemoteDiagnosticsDeps extends DiagnosticRights {
  config: ServerConfig;
  log: Log;
  metrics: Metrics;
  db: Db;
  /** How often another gateway's changes are looked for; undefined where there is none. */
  everyMs: number | undefined;
  mqtt: Mqtt;
  catalogues: Catalogues;
  /** Called when an update has brought DTCs. */
  newDtcs?: ScanDeps["newDtcs"];
}

/** How often a gateway that has the database to itself looks whether it has missed anything. */
const ALONE_MS = 15_000;

/** What stands around single requests: sessions, scripts and scans, and how all of it ends at once. */
export async function composeRemoteDiagnostics(deps: RemoteDiagnosticsDeps) {
  const { audit, approvals, log, metrics, db, everyMs, mqtt, catalogues } = deps;
  const config = deps.config.diagnostics;
  const revocations = await createRevocations({ db, everyMs, log });
  const keys = await loadKeys({
    plugin: config.key_plugin,
    mode: deps.config.trust.mode,
    certsDir: deps.config.certs_dir,
  });
  const waiters = createWaiters();
  const base = {
    db,
    audit,
    mqtt,
    approvals,
    revocations,
    config,
    catalogues,
    waiters,
    everyMs,
    metrics,
    log,
  };
  const sessions = await createSessions(base);
  const scripts = await createScripts({ ...base, sessions });
  const scans = createScans({ ...base, newDtcs: deps.newDtcs });
  const challenges = createChallenges({ ...base, keys });
  return {
    revocations,
    sessions,
    routes: [
      sessionRoutes({ db, sessions, revocations, audit }),
      scriptRoutes({ ...base, scripts, lookMs: everyMs ?? ALONE_MS }),
      scanRoutes({ db, scans }),
    ],
    topics: diagnosticEventTopics({ ...base, sessions, challenges, scans }),
    /** What was begun with a token ends with it. */
    async tokenRevoked({ token_id, name }: { token_id: string; name: string }): Promise<void> {
      const reason = `the token of ${name} was revoked`;
      const revocation = { cause: "operator_revoked", reason, revoked_by: "gateway" } as const;
      await revocations.revoke({ ...revocation, token_id });
    },
    /** An update takes the vehicle's ECUs. */
    updateStarted(vin: string): void {
      sessions.updateStarted(vin).catch((error: unknown) => {
        log.error({ err: error, vehicle: vin }, "Sessions could not be ended for an update");
      });
    },
    /** Ends what is overdue. @returns how many */
    async expire(): Promise<number> {
      return (await sessions.expire()) + (await scripts.expire()) + (await scans.expire());
    },
    stop(): void {
      revocations.stop();
      sessions.stop();
      scripts.stop();
      waiters.stop();
    },
  };
}
