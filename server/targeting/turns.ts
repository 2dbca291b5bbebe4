import type { Db } from "#server/database/connection.ts";
import { createTurns, type Turns } from "#server/runtime/turns.ts";

/** Anybody who may read may have the fleet counted: vehicles must find a connection all the same. */
const AT_ONCE = 2;
const WAITING = 16;
const turns = new WeakMap<Db, Turns>();

/** Lets few count all vehicles at once; turns away as FLEET_BUSY when too many wait. */
export function countingTurns(db: Db): Turns {
  const known = turns.get(db) ?? createTurns(AT_ONCE, WAITING, "FLEET_BUSY");
  turns.set(db, known);
  return known;
}
