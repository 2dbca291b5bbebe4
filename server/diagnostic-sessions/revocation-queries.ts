import { sql } from "kysely";
import type { Db } from "#server/database/connection.ts";
import type { NewRevocation, Revocation } from "./revocation.ts";
import "./table.ts";

export async function insertRevocation(
  db: Db,
  revocation: NewRevocation & { revocation_id: string },
): Promise<Revocation> {
  return db
    .insertInto("diagnostic_revocation")
    .values({ vin: null, operator: null, token_id: null, ...revocation })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Those since a time, but at most so many milliseconds old. */
export async function revocationsSince(
  db: Db,
  since: Date,
  maxAgeMs: number,
): Promise<Revocation[]> {
  return db
    .selectFrom("diagnostic_revocation")
    .selectAll()
    .where("changed_at", ">", since)
    .where("changed_at", ">", sql<Date>`now() - ${maxAgeMs} * interval '1 millisecond'`)
    .orderBy("changed_at")
    .execute();
}
