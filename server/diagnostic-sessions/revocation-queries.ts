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

/** Why what such an operator began at such a vehicle then has been ended, if it has. */
export async function revokedSince(
  db: Db,
  of: { vin: string; operator: string; token_id: string },
  since: Date,
): Promise<string | undefined> {
  let query = db
    .selectFrom("diagnostic_revocation")
    .select("reason")
    .where("changed_at", ">=", since)
    .limit(1);
  for (const column of ["vin", "operator", "token_id"] as const) {
    query = query.where((where) =>
      where.or([where(column, "is", null), where(column, "=", of[column])]),
    );
  }
  return (await query.executeTakeFirst())?.reason;
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
