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

/**
 * How many of the ascending bounds a column's share has reached. Compares bytes, which takes less
 * than to make a number of them for every row; and no hash where every bound is out of reach.
 */
export function reachedOf(
  salt: string,
  vin: Expression<string>,
  bounds: readonly number[],
): RawBuilder<number> {
  const reachable = bounds.map((bound) => Math.ceil(bound * RANGE)).filter((each) => each < RANGE);
  if (reachable.length === 0) return sql<number>`0`;
  const prefixes = reachable.map((bound) => {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32BE(Math.max(0, bound));
    return prefix;
  });
  // A digest is not less than what it begins with.
  return sql<number>`
    width_bucket(sha256(convert_to(${`${salt}:`} || ${vin}, 'UTF8')), ${prefixes}::bytea[])
  `;
}

const RANGE = 2 ** 32;
