import { join } from "node:path";
import { sql } from "kysely";
import { loadServerConfig } from "#config/server.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { openReleaseBook, type ReleaseBook } from "#server/firmware/release-book.ts";
import { createAssembler } from "#server/packages/assemble.ts";
import { openPolicyBook, type PolicyBook } from "#server/policies/policy-book.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState } from "#server/runtime/state.ts";
import { createCheckIns } from "#server/updates/check-in.ts";
import type { OfferSource } from "#server/updates/offer.ts";
import type { UpdateDeps } from "#server/updates/service.ts";
import { silentLog, type OwnDatabase } from "#test/server/own-database.ts";

const noOffers: OfferSource = { state: sql`null`, offers: () => [] };

/** What updates work with, on a database of the test's own. */
export async function updateDeps(
  { db, folder }: Pick<OwnDatabase, "db" | "folder">,
  offers: OfferSource = noOffers,
): Promise<UpdateDeps & { releases: ReleaseBook; policies: PolicyBook }> {
  const blobs = await openDiskStore(join(folder, "blobs"));
  const releases = await openReleaseBook({ db, everyMs: undefined, log: silentLog });
  const defaults = loadServerConfig({}).policies.default;
  const policies = await openPolicyBook({ db, defaults, everyMs: undefined, log: silentLog });
  return {
    db,
    releases,
    policies,
    assembler: createAssembler({ db, blobs, signers: async () => [] }),
    metrics: createMetrics(trackState()),
    checkIns: createCheckIns({ db, releases, offers, policies }),
    listeners: [],
    ttlHours: 168,
    deadlineMinutes: 30,
  };
}
