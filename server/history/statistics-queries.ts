import { sql, type RawBuilder } from "kysely";
import type { StatisticsBy } from "#protocol/api/history.ts";
import type { Db } from "#server/database/connection.ts";
import { BUCKET_BASE, type Counted } from "./statistics.ts";

/** The day and the bucket of a row of the history; days are UTC. */
const day = sql`(completed_at at time zone 'UTC')::date`;
const bucket = sql`case
    when status = 'success' and started_at is not null
    then round(ln(greatest(extract(epoch from completed_at - started_at), 1)) / ln(${sql.lit(BUCKET_BASE)}::numeric))
    else -1
  end::smallint`;
const NO_CAMPAIGN = sql`'00000000-0000-0000-0000-000000000000'::uuid`;

/** Transactions may commit in another order than they begin: what is below is all there. */
const settled = sql`txid < pg_snapshot_xmin(pg_current_snapshot())`;

/**
 * Adds the next rows of the history to the numbers, each once whichever gateway does it.
 * @returns how many rows; fewer than `limit` when there are no more
 */
export async function addToStatistics(db: Db, limit: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    with begun as (
      -- The limit tells the planner that there is one.
      select txid, history_id from update_statistic_position limit 1 for update skip locked
    ),
    batch as materialized (
      select history.* from begun, lateral (
        select * from update_history
        where (update_history.txid, update_history.history_id) > (begun.txid, begun.history_id)
          and ${settled}
        order by txid, history_id limit ${limit}
      ) history
    ),
    added as (
      insert into update_statistic
      select ${day}, firmware_id, ecu_type, hardware_version, coalesce(campaign_id, ${NO_CAMPAIGN}),
        status, ${bucket}, count(*), count(*) filter (where ordinal = 0)
      from batch group by 1, 2, 3, 4, 5, 6, 7
      order by 1, 2, 3, 4, 5, 6, 7
      on conflict (day, firmware_id, ecu_type, hardware_version, campaign_id, status, bucket)
      do update set ecus = update_statistic.ecus + excluded.ecus,
        updates = update_statistic.updates + excluded.updates
    ),
    moved as (
      update update_statistic_position set (txid, history_id) =
        (select txid, history_id from batch order by txid desc, history_id desc limit 1)
      where exists (select from batch)
    )
    select count(*) as count from batch`.execute(db);
  return rows[0]?.count ?? 0;
}

/** What is counted by, and whether updates or their ECUs are. */
const counted: Record<StatisticsBy, { key: RawBuilder<unknown>; of: RawBuilder<unknown> }> = {
  day: { key: sql`day::text`, of: sql`updates` },
  campaign: { key: sql`nullif(campaign_id, ${NO_CAMPAIGN})::text`, of: sql`updates` },
  firmware: { key: sql`firmware_id::text`, of: sql`ecus` },
  ecu_type: { key: sql`ecu_type`, of: sql`ecus` },
  hardware_version: { key: sql`ecu_type || '/' || hardware_version`, of: sql`ecus` },
};

export interface StatisticsFilter {
  /** Days, the first and the last, as YYYY-MM-DD. */
  from: string;
  to: string;
  firmware_id?: string | undefined;
  campaign_id?: string | undefined;
  ecu_type?: string | undefined;
}

const filterColumns = ["firmware_id", "campaign_id", "ecu_type"] as const;

/** The numbers, with what has come since they were last added to. */
export async function countHistory(
  db: Db,
  by: StatisticsBy,
  { from, to, ...equal }: StatisticsFilter,
): Promise<Counted[]> {
  const { key, of } = counted[by];
  const fits = filterColumns.flatMap((column) =>
    equal[column] === undefined ? [] : [sql`and ${sql.ref(column)} = ${equal[column]}`],
  );
  const { rows } = await sql<Counted>`
    with counted as (
      select day, firmware_id, ecu_type, hardware_version, campaign_id, status, bucket, ecus, updates
      from update_statistic
      union all
      select ${day}, firmware_id, ecu_type, hardware_version, coalesce(campaign_id, ${NO_CAMPAIGN}),
        status, ${bucket}, 1, case when ordinal = 0 then 1 else 0 end
      from update_history
      where (txid, history_id) > (select txid, history_id from update_statistic_position)
    )
    select ${key} as key, status, bucket, sum(${of})::int as count
    from counted
    where day between ${from}::date and ${to}::date ${sql.join(fits, sql` `)}
    group by 1, 2, 3 having sum(${of}) > 0
    order by 1, 2, 3`.execute(db);
  return rows;
}
