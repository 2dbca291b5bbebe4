import { loadServerConfig } from "#config/server.ts";
import { createApprovals } from "#server/diagnostic-policy/approvals.ts";
import { expireRequests } from "#server/diagnostics/queries.ts";
import type { MaintenanceDeps } from "#server/maintenance/maintenance.ts";
import { trackState } from "#server/runtime/state.ts";
import { silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { updateDeps } from "#test/server/updates/update-deps.ts";

/** What maintenance works with, on a database of the test's own, with the default configuration. */
export async function maintenanceDeps({ db, folder }: OwnDatabase): Promise<MaintenanceDeps> {
  const state = trackState();
  const updates = await updateDeps({ db, folder });
  const renewTrust = async () => {};
  const campaigns = { maintain: async () => 0 };
  const remote = { expire: async () => 0 };
  const requests = { expire: async () => (await expireRequests(db)).length };
  const approvals = createApprovals({ db, log: silentLog });
  return {
    db,
    config: loadServerConfig({}),
    updates,
    campaigns,
    approvals,
    renewTrust,
    requests,
    remote,
    state,
    log: silentLog,
  };
}
