import { sql, type RawBuilder } from "kysely";
import type { Firmware, FirmwareQuery } from "#protocol/api/firmware.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { parsePurl } from "./purl.ts";
import { asFirmware } from "./queries.ts";

export interface FirmwareFilter extends FirmwareQuery {
  limit: number;
  /** Id of the last firmware before. */
  cursor?: string | undefined;
}

type Order = Exclude<FirmwareQuery["sort"], `-${string}`>;

/** What the list is ordered by; each has an index. The id, which rises with time, breaks ties. */
const orders: Record<Order, readonly RawBuilder<unknown>[]> = {
  created: [],
  version: [sql.ref("version_key")],
  ecu_type: [sql.ref("ecu_type"), sql.ref("version_key")],
  build_number: [sql`coalesce(build_number, -1)`],
};

/**
 * Firmware from behind `cursor` on.
 * @throws ProblemError REQUEST_INVALID for a cursor or a package URL that is none
 */
export async function listFirmware(db: Db, filter: FirmwareFilter): Promise<Firmware[]> {
  const isDescending = filter.sort.startsWith("-");
  const order = filter.sort.replace("-", "") as Order;
  const keys = [...orders[order], sql.ref("firmware_id")];
  let query = db.selectFrom("firmware").selectAll().limit(filter.limit);
  for (const key of keys) query = query.orderBy(key, isDescending ? "desc" : "asc");
  for (const condition of conditionsOf(filter)) query = query.where(condition);
  if (filter.cursor !== undefined) {
    const position = await positionOf(db, keys, filter.cursor);
    const behind = sql.raw(isDescending ? "<" : ">");
    query = query.where(sql<boolean>`(${sql.join(keys)}) ${behind} (${sql.join(position)})`);
  }
  return (await query.execute()).map(asFirmware);
}

/** Values of the keys, so that the index is entered there. */
async function positionOf(
  db: Db,
  keys: readonly RawBuilder<unknown>[],
  firmwareId: string,
): Promise<unknown[]> {
  // Where the id alone is the position, any will do.
  if (keys.length === 1) return [firmwareId];
  const aliased = keys.map((key, index) => sql`${key} as ${sql.ref(`key_${index}`)}`);
  const { rows } = await sql<Record<string, unknown>>`
    select ${sql.join(aliased)} from firmware where firmware_id = ${firmwareId}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) throw invalid("cursor", "is none of this list");
  return keys.map((_, index) => row[`key_${index}`]);
}

function conditionsOf(filter: FirmwareFilter): RawBuilder<boolean>[] {
  const conditions: RawBuilder<boolean>[] = [];
  const add = (value: string | undefined, condition: (value: string) => RawBuilder<boolean>) => {
    if (value !== undefined) conditions.push(condition(value));
  };
  add(filter.ecu_type, (value) => sql`ecu_type = ${value}`);
  add(filter.channel, (value) => sql`channel = ${value}`);
  add(filter.status, (value) => sql`status = ${value}`);
  add(filter.availability, (value) => sql`availability = ${value}`);
  add(filter.publication, (value) =>
    value === "published" ? sql`published_at is not null` : sql`published_at is null`,
  );
  add(filter.hardware_version, (value) => sql`hardware_versions @> ${[value]}::text[]`);
  add(filter.version, (value) => sql`starts_with(version, ${value})`);
  add(filter.min_version, (value) => sql`version_key >= semver_key(${value})`);
  add(filter.max_version, (value) => sql`version_key <= semver_key(${value})`);
  add(filter.from, (value) => sql`created_at >= ${new Date(value)}`);
  add(filter.to, (value) => sql`created_at < ${new Date(value)}`);
  const component = componentConditions(filter);
  if (component.length > 0) {
    conditions.push(sql`firmware_id in (
      select firmware_id from firmware_component where ${sql.join(component, sql` and `)}
    )`);
  }
  return conditions;
}

/** What one and the same component of the SBOM has to be. */
function componentConditions({ component, component_version, purl }: FirmwareFilter) {
  const conditions: RawBuilder<unknown>[] = [];
  if (component !== undefined) conditions.push(sql`lower(name) = lower(${component})`);
  if (component_version !== undefined) conditions.push(sql`version = ${component_version}`);
  if (purl !== undefined) {
    const wanted = parsePurl(purl);
    if (wanted === undefined) throw invalid("purl", "is no package URL");
    conditions.push(sql`package = ${wanted.package}`);
    if (wanted.version !== undefined) conditions.push(sql`package_version = ${wanted.version}`);
  }
  return conditions;
}

function invalid(name: string, message: string): ProblemError {
  const path = `querystring/${name}`;
  return new ProblemError("REQUEST_INVALID", `${path} ${message}`, [{ path, message }]);
}
