import { sql } from "kysely";
import { MAX_FLEET_VERSIONS, type FleetStatistics } from "#protocol/api/fleet.ts";
import type { Channel } from "#protocol/api/identifier.ts";
import type { VehicleStatus } from "#protocol/api/vehicle.ts";
import type { Db } from "#server/database/connection.ts";
import { countingTurns } from "./turns.ts";

/**
 * Counts the fleet: two passes over `vehicle`, whose answers are small however large it is.
 * @param ecuType of which versions are told; of all without it
 * @throws ProblemError FLEET_BUSY when too many are counting
 */
export async function fleetStatistics(
  db: Db,
  ecuType: string | undefined,
): Promise<FleetStatistics> {
  return countingTurns(db)(async () => ({
    ...(await countVehicles(db)),
    versions: await countVersions(db, ecuType),
  }));
}

async function countVehicles(db: Db): Promise<Omit<FleetStatistics, "versions">> {
  const { rows } = await sql<{
    /** Which column a row is not counted by, as bits; 3, 5 and 6 are by one of them. */
    others: number;
    status: VehicleStatus;
    channel: Channel;
    profile: number | null;
    vehicles: number;
  }>`
    select grouping(status, channel, profile) as others, status, channel, profile,
      count(*) as vehicles
    from vehicle
    group by grouping sets ((status), (channel), (profile))
    order by status, channel, profile`.execute(db);
  const by_status = rows
    .filter(({ others }) => others === 3)
    .map(({ status, vehicles }) => ({ status, vehicles }));
  return {
    vehicles: by_status.reduce((sum, { vehicles }) => sum + vehicles, 0),
    by_status,
    by_channel: rows
      .filter(({ others }) => others === 5)
      .map(({ channel, vehicles }) => ({ channel, vehicles })),
    by_profile: rows
      .filter(({ others }) => others === 6)
      .map(({ profile, vehicles }) => ({ profile, vehicles })),
  };
}

/** Vehicles that consist of the same are counted as one inventory first. */
async function countVersions(
  db: Db,
  ecuType: string | undefined,
): Promise<FleetStatistics["versions"]> {
  const asked = ecuType === undefined ? sql`true` : sql`ecu ->> 'ecu_type' = ${ecuType}`;
  const { rows } = await sql<FleetStatistics["versions"][number]>`
    with alike as materialized (
      select inventory_id, count(*) as vehicles
      from vehicle where inventory_id is not null group by inventory_id
    ),
    most as (
      select ecu ->> 'ecu_type' as ecu_type, ecu ->> 'software_version' as software_version,
        sum(vehicles)::bigint as ecus
      from alike
        join inventory using (inventory_id)
        cross join lateral jsonb_array_elements(inventory.ecus) as ecu
      where ${asked}
      group by 1, 2
      order by 3 desc, 1, 2 limit ${MAX_FLEET_VERSIONS}
    )
    select * from most order by ecu_type, ecus desc, software_version`.execute(db);
  return rows;
}
