import { sql, type RawBuilder } from "kysely";
import type { Db } from "#server/database/connection.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import { compile } from "./compile.ts";
import { splitCondition } from "./condition.ts";
import type { Predicate } from "./predicate.ts";
import type { TargetVehicle } from "./vehicle.ts";

/** Rows of `vehicle` that are looked at for one page at the most. */
const SCANNED = 5000;
const BATCH = 500;

export interface VinPage {
  vins: string[];
  /** Where to go on, or null at the end: the page may be short, even empty, before it. */
  next: string | null;
}

/**
 * VINs of the vehicles that fit a predicate, in their order, from behind `cursor` on. What the
 * database can tell it tells; the rest is a look at so many vehicles, and then the next page's.
 * @param where what else has to hold of a row of `vehicle`
 */
export async function findVehicles(
  db: Db,
  predicate: Predicate,
  {
    limit,
    cursor,
    where = sql`true`,
  }: { limit: number; cursor?: string | undefined; where?: RawBuilder<boolean> },
): Promise<VinPage> {
  const split = splitCondition(predicate);
  const tests = split.rest.map((part) => compile(part));
  const needsLook = tests.length > 0;
  const vins: string[] = [];
  let after = cursor;
  for (let scanned = 0; scanned < SCANNED;) {
    const wanted = needsLook ? BATCH : limit + 1;
    const rows = await scan(db, { where: sql`${split.where} and ${where}`, after, limit: wanted });
    for (const vehicle of rows) {
      if (vins.length === limit) return { vins, next: vins.at(-1) ?? null };
      if (tests.every((test) => test(vehicle))) vins.push(vehicle.vin);
      after = vehicle.vin;
    }
    if (rows.length < wanted) return { vins, next: null };
    scanned += rows.length;
  }
  return { vins, next: after ?? null };
}

/** A vehicle with what decides what it is given; undefined when it is not registered. */
export async function targetVehicle(db: Db, vin: string): Promise<TargetVehicle | undefined> {
  const [vehicle] = await scan(db, {
    where: sql`vehicle.vin = ${vin}`,
    after: undefined,
    limit: 1,
  });
  return vehicle;
}

async function scan(
  db: Db,
  page: { where: RawBuilder<boolean>; after: string | undefined; limit: number },
): Promise<TargetVehicle[]> {
  const from = page.after === undefined ? sql`true` : sql`vehicle.vin > ${page.after}`;
  const { rows } = await sql<
    Omit<TargetVehicle, "inventory"> & {
      inventory_id: string | null;
      ecus: readonly InventoryEcu[] | null;
    }
  >`
    select vin, model, region, channel, tags, profile, time_zone, registered_at,
      vehicle.inventory_id, inventory.ecus
    from vehicle left join inventory using (inventory_id)
    where ${page.where} and ${from}
    order by vin
    limit ${page.limit}
  `.execute(db);
  return rows.map(({ inventory_id, ecus, ...vehicle }) => ({
    ...vehicle,
    inventory: inventory_id === null || ecus === null ? null : { inventory_id, ecus },
  }));
}
