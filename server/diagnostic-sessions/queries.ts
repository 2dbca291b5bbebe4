import type { Db } from "#server/database/connection.ts";
import "./table.ts";

/** A session that keeps an ECU for its operator. */
export interface SessionLock {
  ecu_id: string;
  session_id: string;
  operator: string;
}

/** The sessions that keep ECUs of a vehicle, all of them or some. */
export async function sessionLocks(
  db: Db,
  vin: string,
  ecuIds?: readonly string[],
): Promise<SessionLock[]> {
  if (ecuIds?.length === 0) return [];
  let query = db
    .selectFrom("diagnostic_session")
    .select(["ecu_id", "session_id", "operator"])
    .where("vin", "=", vin)
    .where("status", "in", ["opening", "open"]);
  if (ecuIds !== undefined) query = query.where("ecu_id", "in", ecuIds);
  return query.execute();
}
