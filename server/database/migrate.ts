import type { Kysely } from "kysely";
import { Migrator, type Migration } from "kysely/migration";
import * as m0001 from "./migrations/0001-main-job.ts";
import * as m0002 from "./migrations/0002-trust.ts";
import * as m0003 from "./migrations/0003-certificates.ts";
import * as m0004 from "./migrations/0004-telemetry.ts";
import * as m0005 from "./migrations/0005-superseded-packages.ts";
import * as m0006 from "./migrations/0006-vci-digest.ts";
import * as m0007 from "./migrations/0007-detected-attacks.ts";
import * as m0008 from "./migrations/0008-certificate-keys.ts";
import * as m0009 from "./migrations/0009-certificate-ends.ts";
import * as m0010 from "./migrations/0010-diagnostic-level.ts";
import * as m0011 from "./migrations/0011-audit.ts";
import * as m0012 from "./migrations/0012-diagnostic-policy.ts";
import * as m0013 from "./migrations/0013-diagnostic-requests.ts";
import * as m0014 from "./migrations/0014-diagnostic-sessions.ts";
import * as m0015 from "./migrations/0015-diagnostic-runs.ts";
import * as m0016 from "./migrations/0016-diagnostic-lists.ts";
import * as m0017 from "./migrations/0017-fleet.ts";
import * as m0018 from "./migrations/0018-operators.ts";
import * as m0019 from "./migrations/0019-catalogue.ts";
import * as m0020 from "./migrations/0020-policies.ts";
import * as m0021 from "./migrations/0021-campaigns.ts";
import * as m0022 from "./migrations/0022-campaign-progress.ts";
import * as m0023 from "./migrations/0023-webhooks.ts";
import * as m0024 from "./migrations/0024-history.ts";
import * as m0025 from "./migrations/0025-removed-vehicles.ts";
import * as m0026 from "./migrations/0026-log-bytes.ts";
import * as m0027 from "./migrations/0027-password-ends.ts";
import * as m0028 from "./migrations/0028-ended-minimum-profiles.ts";
import * as m0029 from "./migrations/0029-reverted.ts";
import * as m0030 from "./migrations/0030-vouched-until.ts";
import * as m0031 from "./migrations/0031-register-reverted.ts";

/** Every migration, by the name that marks it as done in a database. Never rename or reorder. */
const migrations: Record<string, Migration> = {
  "0001-main-job": m0001,
  "0002-trust": m0002,
  "0003-certificates": m0003,
  "0004-telemetry": m0004,
  "0005-superseded-packages": m0005,
  "0006-vci-digest": m0006,
  "0007-detected-attacks": m0007,
  "0008-certificate-keys": m0008,
  "0009-certificate-ends": m0009,
  "0010-diagnostic-level": m0010,
  "0011-audit": m0011,
  "0012-diagnostic-policy": m0012,
  "0013-diagnostic-requests": m0013,
  "0014-diagnostic-sessions": m0014,
  "0015-diagnostic-runs": m0015,
  "0016-diagnostic-lists": m0016,
  "0017-fleet": m0017,
  "0018-operators": m0018,
  "0019-catalogue": m0019,
  "0020-policies": m0020,
  "0021-campaigns": m0021,
  "0022-campaign-progress": m0022,
  "0023-webhooks": m0023,
  "0024-history": m0024,
  "0025-removed-vehicles": m0025,
  "0026-log-bytes": m0026,
  "0027-password-ends": m0027,
  "0028-ended-minimum-profiles": m0028,
  "0029-reverted": m0029,
  "0030-vouched-until": m0030,
  "0031-register-reverted": m0031,
};

/** @throws the error of the migration that failed; the database then stays as it was before it */
export async function migrateToLatest<Any>(db: Kysely<Any>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error } = await migrator.migrateToLatest();
  if (error) throw error;
}
