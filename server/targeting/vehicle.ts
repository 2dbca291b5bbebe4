import type { Channel } from "#protocol/api/identifier.ts";
import type { Inventory } from "#server/vehicles/inventory.ts";

/** What decides what a vehicle is given. */
export interface TargetVehicle {
  vin: string;
  model: string | null;
  region: string | null;
  channel: Channel;
  tags: readonly string[];
  /** TLS profile of its last connection, 0 to 12. */
  profile: number | null;
  /** IANA name. */
  time_zone: string | null;
  registered_at: Date;
  /** By its newest VCI; null when it has sent none. */
  inventory: Inventory | null;
}
