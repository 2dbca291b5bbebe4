import pg from "pg";
import { inventoryOf, type InventoryEcu } from "#server/vehicles/inventory.ts";

/** ECUs of each vehicle. */
export const ECUS = 8;
/** So many different sets of versions drive around. */
const INVENTORIES = 400;

/**
 * Fills a gateway's tables with vehicles that have registered and sent their VCI, as if they had done
 * so over the last month; their ids are `M` and a number of 16 digits.
 */
export async function fillVehicles(
  url: string,
  { from, to }: { from: number; to: number },
): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const inventories = Array.from({ length: INVENTORIES }, (_, kind) => inventoryOf(ecusOf(kind)));
    await client.query(
      `insert into inventory (inventory_id, ecus)
       select * from unnest($1::text[], $2::jsonb[]) on conflict do nothing`,
      [
        inventories.map(({ inventory_id }) => inventory_id),
        inventories.map(({ ecus }) => JSON.stringify(ecus)),
      ],
    );
    await client.query(
      `insert into vehicle (vin, model, region, channel, status, registered_at, last_seen_at,
         connection, inventory_id, tags)
       select 'M' || lpad(i::text, 16, '0'),
         'Model ' || i % 5, (array['EU', 'US', 'CN', 'JP'])[1 + i % 4],
         case when i % 20 = 0 then 'beta' else 'stable' end, 'offline',
         now() - i % 2592000 * interval '1 s', now() - i % 86400 * interval '1 s',
         '{"at": "2026-01-01T00:00:00Z", "via": "mqtt", "group": "X25519MLKEM768", "peer_key_type": "ec", "profile": 2}',
         ($2::text[])[1 + i % $3], case when i % 50 = 0 then array['test'] else '{}' end
       from generate_series($1::int, $4::int) as i`,
      [from, inventories.map(({ inventory_id }) => inventory_id), INVENTORIES, to],
    );
    await client.query(
      `insert into vci (vci_id, vin, received_at, reason, zones, ecus)
       select gen_random_uuid(), vin, registered_at, 'power_on',
         '[{"zone_id": "ZG-FRONT"}, {"zone_id": "ZG-REAR"}]', ecus
       from generate_series($1::int, $2::int) as i
       join vehicle on vin = 'M' || lpad(i::text, 16, '0')
       join inventory using (inventory_id)`,
      [from, to],
    );
    await client.query("vacuum analyze");
  } finally {
    await client.end();
  }
}

/** Kind 0 runs 1.0.0 everywhere; every other one differs from it in a version or a hardware. */
export function ecusOf(kind: number): InventoryEcu[] {
  return Array.from({ length: ECUS }, (_, index) => ({
    ecu_id: `ECU_00${index + 1}`,
    zone_id: index < ECUS / 2 ? "ZG-FRONT" : "ZG-REAR",
    ecu_type: `bench-${index + 1}`,
    hardware_version: (kind >> index) % 7 === 6 ? "HW-2.0" : "HW-1.0",
    software_version: `1.${(kind * (index + 3)) % 5}.${kind % 11}`,
  }));
}

/** Has all of these vehicles been through a campaign. */
export async function fillParticipants(url: string, campaignId: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(
      `insert into campaign_vehicle (campaign_id, vin, wave, status, attempts, finished_at)
       select $1, vin, 0, 'succeeded', 1, now() from vehicle where vin like 'M%'
       on conflict do nothing`,
      [campaignId],
    );
    await client.query("vacuum analyze");
  } finally {
    await client.end();
  }
}
