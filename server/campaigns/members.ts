import { sql } from "kysely";
import type { Db } from "#server/database/connection.ts";
import { parseFilter } from "#server/targeting/filter.ts";
import { eachGroup, type GroupQuery } from "#server/targeting/groups.ts";
import { shareOf } from "#server/targeting/membership.ts";
import type { Campaign } from "./campaign.ts";

/** What makes a vehicle one of a campaign's. */
export type Membership = Pick<
  Campaign,
  "campaign_id" | "filter" | "vins" | "percentage" | "min_profile"
>;

/**
 * The vehicles that a campaign is for, as a question to the database; what `offers` says of each in
 * memory.
 * @throws FilterError
 */
export function membersOf(campaign: Membership): Required<Pick<GroupQuery, "predicate" | "where">> {
  const { campaign_id, filter, vins, percentage, min_profile } = campaign;
  const conditions = [
    ...(vins === null ? [] : [sql<boolean>`vehicle.vin = any (${vins})`]),
    ...(min_profile === null ? [] : [sql<boolean>`vehicle.profile >= ${min_profile}`]),
    ...(percentage === 100
      ? []
      : [sql<boolean>`${shareOf(campaign_id, sql.ref("vehicle.vin"))} < ${percentage / 100}`]),
  ];
  return {
    predicate: filter === null ? { kind: "all" } : parseFilter(filter).predicate,
    where:
      conditions.length === 0
        ? sql<boolean>`true`
        : sql<boolean>`${sql.join(conditions, sql` and `)}`,
  };
}

/** Counts them as they are now; not within a transaction. */
export async function countMembers(db: Db, campaign: Membership): Promise<number> {
  let count = 0;
  await eachGroup(db, { ...membersOf(campaign), by: [] }, (group) => {
    count += group.count;
  });
  return count;
}
