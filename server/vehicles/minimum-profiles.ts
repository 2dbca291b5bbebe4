import type { Db } from "#server/database/connection.ts";
import { follow, type Followed } from "#server/database/follow.ts";
import type { Admission } from "#server/runtime/admission.ts";
import type { Log } from "#server/runtime/log.ts";
import "./table.ts";

/** Has the listeners demand of each vehicle its `min_profile`. */
export function followMinimumProfiles(deps: {
  db: Db;
  admission: Admission;
  everyMs: number | undefined;
  log: Log;
}): Promise<Followed> {
  const { db, admission, everyMs, log } = deps;
  return follow({
    what: "vehicles' minimum profiles",
    changedSince: (since) =>
      db
        .selectFrom("vehicle")
        .select(["vin", "min_profile as profile"])
        .select((each) => each.ref("min_profile_set_at").$notNull().as("changed_at"))
        .where("min_profile_set_at", ">", since)
        .execute(),
    apply: (rows) => admission.demand(rows),
    everyMs,
    log,
  });
}
