import type { Preview } from "#protocol/api/target.ts";
import type { Db } from "#server/database/connection.ts";
import { printFilter, type Filter } from "./filter.ts";
import { eachGroup } from "./groups.ts";
import { createTally } from "./tally.ts";
import { findVehicles } from "./vehicles.ts";

const SAMPLE = 10;

/** What a filter means for the fleet as it is. */
export async function preview(db: Db, filter: Filter, percentage: number): Promise<Preview> {
  const { predicate } = filter;
  const tallies = { model: createTally(), region: createTally(), channel: createTally() };
  const sample = new Set<string>();
  let matched = 0;
  await eachGroup(db, { predicate, by: ["model", "region", "channel"] }, (group) => {
    matched += group.count;
    tallies.model.add(group.model, group.count);
    tallies.region.add(group.region, group.count);
    tallies.channel.add(group.channel, group.count);
    for (const vin of group.vins) if (sample.size < SAMPLE) sample.add(vin);
  });
  if (sample.size < Math.min(SAMPLE, matched)) {
    const { vins } = await findVehicles(db, predicate, { limit: SAMPLE });
    for (const vin of vins) if (sample.size < SAMPLE) sample.add(vin);
  }
  return {
    filter: printFilter(filter),
    matched,
    selected: Math.round((matched * percentage) / 100),
    by_model: tallies.model.largest(),
    by_region: tallies.region.largest(),
    by_channel: tallies.channel.largest(),
    sample: [...sample].sort(),
  };
}
