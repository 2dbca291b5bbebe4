import type { UpdateStatus } from "#protocol/api/update.ts";
import type { Tx } from "#server/database/connection.ts";
import type { Policy } from "#server/policies/policy.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import type { UpdateError } from "./table.ts";
import type { Target } from "./update.ts";

/** Why a vehicle may have an update. */
export interface Grounds {
  policy: Pick<Policy, "policy_id" | "name" | "source" | "mode">;
  /** The operator's command that it carries out. */
  command_id: string | null;
}

/** A step of an update's life. */
export interface UpdateMoved {
  update_id: string;
  vin: string;
  campaign_id: string | null;
  targets: readonly Target[];
  /** null: it is made. */
  from: UpdateStatus | null;
  to: UpdateStatus;
  error: UpdateError | null;
  /** The ECU that the vehicle's report was about. */
  ecu_id: string | null;
  /** Of an update that is made. */
  grounds?: Grounds | undefined;
}

/**
 * What comes of an update, for slices that count on it; called in the transaction that makes the
 * change, with the vehicle locked.
 */
export interface UpdateListener {
  moved(tx: Tx, update: UpdateMoved): Promise<void>;
  /** The vehicle has sent a new VCI, after the update under way was settled by it. */
  reported(tx: Tx, vin: string, ecus: readonly InventoryEcu[]): Promise<void>;
}
