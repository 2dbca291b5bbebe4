import { sql } from "kysely";
import type { Db, Tx } from "#server/database/connection.ts";
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
    changedSince: (since) => changes(db, since),
    apply: (rows) => admission.demand(rows),
    everyMs,
    log,
  });
}

/** In their order: a vehicle that was removed may have come back, with another. */
async function changes(db: Db, since: Date) {
  return db
    .selectFrom("vehicle")
    .select(["vin", "min_profile as profile"])
    .select((each) => each.ref("min_profile_set_at").$notNull().as("changed_at"))
    .where("min_profile_set_at", ">", since)
    .unionAll(
      db
        .selectFrom("ended_minimum_profile")
        .select(["vin", sql<null>`null::smallint`.as("profile"), "ended_at as changed_at"])
        .where("ended_at", ">", since),
    )
    .orderBy("changed_at")
    .execute();
}

/** Leaves word for the other gateways that a vehicle which is being removed has none any more. */
export async function endMinimumProfile(tx: Tx, vin: string): Promise<void> {
  await sql`
    insert into ended_minimum_profile (vin, ended_at)
    select vin, now() from vehicle where vin = ${vin} and min_profile_set_at is not null
    on conflict (vin) do update set ended_at = excluded.ended_at
  `.execute(tx);
}
