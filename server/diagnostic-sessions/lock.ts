import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import type { Operator } from "#server/http/access.ts";
import { sessionById, sessionLocks } from "./queries.ts";

/** What somebody wants to do, in a session or outside. */
export interface Access {
  vin: string;
  session_id: string | null;
  /** The one that is asked; null where several are. */
  ecu_id: string | null;
}

/**
 * An ECU that is in a session takes only what belongs to it, from whoever opened it.
 * @param ecuIds all ECUs that are reached
 * @throws ProblemError ECU_LOCKED, SESSION_UNKNOWN, SESSION_OF_ANOTHER, SESSION_ENDED
 */
export async function demandFree(
  db: Db,
  operator: Operator,
  { vin, session_id, ecu_id }: Access,
  ecuIds: readonly string[],
): Promise<void> {
  if (session_id !== null) {
    const session = await sessionById(db, session_id);
    if (session?.vin !== vin || session.ecu_id !== ecu_id)
      throw new ProblemError("SESSION_UNKNOWN", `no session of that ECU is ${session_id}`);
    if (session.operator !== operator.name)
      throw new ProblemError("SESSION_OF_ANOTHER", `it is of ${session.operator}`);
    if (session.status !== "open")
      throw new ProblemError("SESSION_ENDED", `it is ${session.status}`);
    return;
  }
  const [lock] = await sessionLocks(db, vin, ecuIds);
  if (lock === undefined) return;
  const whose = lock.operator === operator.name ? "your own" : `${lock.operator}'s`;
  throw new ProblemError("ECU_LOCKED", `${lock.ecu_id} is in ${whose} session ${lock.session_id}`);
}
