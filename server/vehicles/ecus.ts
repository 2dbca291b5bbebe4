import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { currentEcus, vehicleByVin, type CurrentEcus } from "./queries.ts";

/**
 * What a vehicle consists of, by its newest VCI.
 * @throws ProblemError VEHICLE_UNKNOWN, VCI_MISSING
 */
export async function demandEcus(db: Db, vin: string): Promise<CurrentEcus> {
  const vci = await currentEcus(db, vin);
  if (vci) return vci;
  throw new ProblemError((await vehicleByVin(db, vin)) ? "VCI_MISSING" : "VEHICLE_UNKNOWN", vin);
}
