import { createHash } from "node:crypto";
import { sql, type Expression, type RawBuilder } from "kysely";

/**
 * Where a vehicle stands among all, from 0 to below 1: the first 32 bits of SHA-256 over
 * `{salt}:{vin}`. Below a share of 0.2 are a fifth of the vehicles, the same ones each time; another
 * salt (the id of a campaign) takes others.
 */
export function share(salt: string, vin: string): number {
  return createHash("sha256").update(`${salt}:${vin}`).digest().readUInt32BE(0) / RANGE;
}

/** The same of a column, as double precision. */
export function shareOf(salt: string, vin: Expression<string>): RawBuilder<number> {
  return sql<number>`(
    ('x' || encode(substr(sha256(convert_to(${`${salt}:`} || ${vin}, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint
    / ${sql.lit(RANGE)}::double precision
  )`;
}

const RANGE = 2 ** 32;
