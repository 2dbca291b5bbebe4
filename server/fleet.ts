import type { ServerConfig } from "#config/server.ts";
import { explainRoutes } from "#server/campaigns/explain-routes.ts";
import type { Db } from "#server/database/connection.ts";
import type { ReleaseBook } from "#server/firmware/release-book.ts";
import { createHistory } from "#server/history/recording.ts";
import { registerRoutes } from "#server/history/register-routes.ts";
import { historyRoutes } from "#server/history/routes.ts";
import type { Http } from "#server/http/http.ts";
import type { Assembler } from "#server/packages/assemble.ts";
import { openPolicyBook } from "#server/policies/policy-book.ts";
import { updatePolicyRoutes } from "#server/policies/routes.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import { createCheckIns } from "#server/updates/check-in.ts";
import { readinessRoutes } from "#server/updates/readiness-routes.ts";
import type { ReadinessDeps } from "#server/updates/readiness.ts";
import { updateRoutes } from "#server/updates/routes.ts";
import type { UpdateDeps } from "#server/updates/service.ts";
import { composeCampaigns } from "./campaign-parts.ts";

export interface FleetDeps {
  db: Db;
  config: ServerConfig;
  metrics: Metrics;
  log: Log;
  releases: ReleaseBook;
  assembler: Assembler;
  /** How often another gateway's changes are looked for; undefined where there is none. */
  everyMs: number | undefined;
  /** Called when a vehicle begins an update. */
  started: (vin: string) => void;
  /** Sends a vehicle the commands that wait for it. */
  deliver: (vin: string) => void;
}

/** What vehicles are told when they check in, under which conditions, and what comes of it. */
export async function composeFleet(deps: FleetDeps) {
  const { db, config, log, releases, everyMs, deliver } = deps;
  const defaults = config.policies.default;
  const policies = await openPolicyBook({ db, defaults, everyMs, log });
  const campaigns = await composeCampaigns({ db, config, releases, everyMs, log, deliver });
  const { offers } = campaigns;
  const updates: UpdateDeps & ReadinessDeps = {
    ...deps,
    policies,
    mayGoOn: (tx, update) => offers.mayGoOn(tx, update),
    listeners: [campaigns.progress, createHistory()],
    checkIns: createCheckIns({ db, releases, offers, policies }),
    ttlHours: config.packages.ttl_h,
    deadlineMinutes: config.updates.install_deadline_min,
  };
  const routes: ((http: Http) => Promise<void>)[] = [
    updateRoutes({ ...updates, log }),
    readinessRoutes(updates),
    updatePolicyRoutes({ db, policies }),
    ...campaigns.routes,
    historyRoutes({ db }),
    registerRoutes({ db }),
    explainRoutes({ db, releases, offers, policies }),
  ];
  return {
    updates,
    routes,
    campaigns,
    stop(): void {
      campaigns.stop();
      policies.stop();
    },
  };
}
