import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { demandEcus } from "#server/vehicles/ecus.ts";

/** An ECU as policies see it. */
export interface TargetEcu {
  ecu_id: string;
  ecu_type: string;
}

/** @throws ProblemError VEHICLE_UNKNOWN, VCI_MISSING, ECU_UNKNOWN */
export async function targetEcu(db: Db, vin: string, ecuId: string): Promise<TargetEcu> {
  const ecu = (await targetEcus(db, vin)).find(({ ecu_id }) => ecu_id === ecuId);
  if (ecu === undefined) throw new ProblemError("ECU_UNKNOWN", ecuId);
  return ecu;
}

/**
 * Every ECU of a vehicle's newest VCI.
 * @throws ProblemError VEHICLE_UNKNOWN, VCI_MISSING
 */
export async function targetEcus(db: Db, vin: string): Promise<TargetEcu[]> {
  const { ecus } = await demandEcus(db, vin);
  return ecus.map(({ ecu_id, ecu_type }) => ({ ecu_id, ecu_type }));
}
