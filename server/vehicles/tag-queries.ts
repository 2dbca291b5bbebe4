import { sql } from "kysely";
import { MAX_TAGS } from "#protocol/api/vehicle.ts";
import type { Db } from "#server/database/connection.ts";

/**
 * Gives vehicles tags and takes others from them; the tags of a vehicle stay in alphabetical order.
 * @returns how many have changed, and how many would have more than {@link MAX_TAGS}, and keep theirs
 */
export async function tagVehicles(
  db: Db,
  vins: readonly string[],
  { add, remove }: { add: readonly string[]; remove: readonly string[] },
): Promise<{ changed: number; full: number }> {
  const { rows } = await sql<{ changed: number; full: number }>`
    with tagged as (
      select vin, tags, array(
        select distinct tag collate "C" from unnest(vehicle.tags || ${add}::text[]) as each (tag)
        where tag <> all (${remove}::text[])
        order by 1
      ) as new_tags
      from vehicle
      where vin = any (${vins}::text[])
      order by vin
      for no key update
    ), changed as (
      update vehicle set tags = new_tags
      from tagged
      where vehicle.vin = tagged.vin and new_tags <> tagged.tags
        and cardinality(new_tags) <= ${MAX_TAGS}
      returning 1
    )
    select
      (select count(*) from changed) as changed,
      (select count(*) from tagged where cardinality(new_tags) > ${MAX_TAGS}) as full
  `.execute(db);
  return rows[0] ?? { changed: 0, full: 0 };
}
