import { setImmediate } from "node:timers/promises";
import { sql, type RawBuilder } from "kysely";
import type { Channel } from "#protocol/api/identifier.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { inventoriesById, type Inventory } from "#server/vehicles/inventory.ts";
import { compile } from "./compile.ts";
import { conditionOf, splitCondition } from "./condition.ts";
import { reachedOf } from "./membership.ts";
import { childrenOf, type Predicate } from "./predicate.ts";
import { countingTurns } from "./turns.ts";
import type { TargetVehicle } from "./vehicle.ts";

/** What vehicles are told apart by. */
export type GroupField = "inventory" | "model" | "region" | "channel";

/** Which vehicles: those that fit, and of which the condition on a row of `vehicle` holds. */
export interface Choice {
  predicate: Predicate;
  where?: RawBuilder<boolean>;
}

export interface GroupQuery extends Choice {
  by: readonly GroupField[];
  /** Each tells vehicles apart by how many of the ascending bounds their share has reached. */
  shares?: readonly { salt: string; bounds: readonly number[] }[];
  /** Whether other predicates hold of them, too. */
  flags?: readonly Choice[];
}

/** Vehicles that are alike in what was asked; those of another group may be so, too. */
export interface Group {
  count: number;
  /** The first and the last of them by VIN: one and the same where there is only one. */
  vins: [first: string, last: string];
  model: string | null;
  region: string | null;
  channel: Channel;
  inventory: Inventory | null;
  /** For each of `shares`, how many of its bounds are reached. */
  reached: readonly number[];
  flags: readonly boolean[];
}

/**
 * Counts the vehicles that fit a predicate by groups, in one statement over `vehicle`: a million
 * vehicles are a few thousand groups. Groups come one by one, so that memory stays bounded where
 * there are many; other work gets its turn between them.
 * @param visit must not use the database: the embedded one has a single connection
 * @throws ProblemError FLEET_BUSY when too many are counting
 */
export async function eachGroup(
  db: Db,
  query: GroupQuery,
  visit: (group: Group) => void,
): Promise<void> {
  await countingTurns(db)(() => count(db, query, visit));
}

async function count(db: Db, query: GroupQuery, visit: (group: Group) => void): Promise<void> {
  const plan = planOf(query);
  await db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (tx) => {
      // How many groups there are can't be told from statistics. Sorting all vehicles, which is
      // chosen for caution, takes several times as long as a hash table of the groups. And all that
      // the cursor has will be fetched.
      await sql`
        select set_config('enable_sort', 'off', true),
          set_config('enable_incremental_sort', 'off', true),
          set_config('cursor_tuple_fraction', '1', true)
      `.execute(tx);
      await sql`declare vehicle_group no scroll cursor for ${plan.statement}`.execute(tx);
      const inventories = inventoryReader(tx);
      let turn = performance.now();
      for (;;) {
        const rows = await fetchRows(tx);
        const inventoryOf = await inventories(rows);
        for (const row of rows) {
          const group = plan.groupOf(row, inventoryOf(row.inventory_id));
          if (group) visit(group);
          if (performance.now() - turn < TURN_MS) continue;
          await setImmediate();
          turn = performance.now();
        }
        if (rows.length < FETCHED) return;
      }
    });
}

/** Rows that are fetched at once. */
const FETCHED = 1000;
/** How long others wait, in milliseconds. */
const TURN_MS = 10;

interface GroupRow {
  count: number;
  first: string;
  last: string;
  inventory_id: string | null;
  model: string | null;
  region: string | null;
  channel: Channel | null;
  reached: number[];
  /** What the database has decided, for the query and for each of its flags. */
  decided: boolean[];
}

async function fetchRows(tx: Tx): Promise<GroupRow[]> {
  const { rows } = await sql<GroupRow>`
    fetch forward ${sql.lit(FETCHED)} from vehicle_group
  `.execute(tx);
  return rows;
}

function planOf(query: GroupQuery) {
  const asked = decisionOf(query.predicate);
  const flags = (query.flags ?? []).map(({ predicate, where = sql<boolean>`true` }) => {
    const decision = decisionOf(predicate);
    const known = sql<boolean>`(${decision.where} and ${where})`;
    return { ...decision, conditions: [known, ...decision.conditions] };
  });
  const all = [asked, ...flags];
  return {
    statement: statementOf(query, {
      where: sql`${asked.where} and ${query.where ?? sql`true`}`,
      decided: all.flatMap(({ conditions }) => conditions),
      needsInventory: all.some(({ needsInventory }) => needsInventory),
    }),
    /** Undefined when it is not asked for after all. */
    groupOf(row: GroupRow, inventory: Inventory | null): Group | undefined {
      const decided = row.decided.slice();
      const take = ({ conditions }: Decision) => decided.splice(0, conditions.length);
      if (!asked.fits(take(asked), inventory)) return undefined;
      const held = flags.map((flag) => {
        const [known = false, ...parts] = take(flag);
        return known && flag.fits(parts, inventory);
      });
      return asGroup(row, inventory, held);
    },
  };
}

/** How a predicate comes to hold of a group. */
interface Decision {
  /** What the database alone can tell, for all vehicles of the group alike. */
  where: RawBuilder<boolean>;
  /** What the database can tell of the parts of the rest. */
  conditions: readonly RawBuilder<boolean>[];
  needsInventory: boolean;
  /** Does the rest hold? */
  fits(decided: readonly boolean[], inventory: Inventory | null): boolean;
}

/**
 * What the database can tell is told by it; where that is mixed with what only inventories tell, it
 * becomes something that groups are told apart by.
 */
function decisionOf(predicate: Predicate): Decision {
  const { where, rest } = splitCondition(predicate);
  const decidable = rest.flatMap(largestDecidable);
  const tests = rest.map((part) =>
    compile<Decided>(part, (node) => {
      const index = decidable.findIndex((each) => each.part === node);
      return index < 0 ? undefined : ({ decided }) => decided[index] ?? false;
    }),
  );
  return {
    where,
    conditions: decidable.map(({ condition }) => condition),
    needsInventory: rest.length > 0,
    fits: (decided, inventory) => tests.every((test) => test({ ...nobody, decided, inventory })),
  };
}

/** What a rest looks at is its inventory, and what was decided. */
type Decided = TargetVehicle & { decided: readonly boolean[] };

const nobody: TargetVehicle = {
  vin: "",
  model: null,
  region: null,
  channel: "stable",
  tags: [],
  profile: null,
  time_zone: null,
  registered_at: new Date(0),
  inventory: null,
};

interface DecidablePart {
  part: Predicate;
  condition: RawBuilder<boolean>;
}

function largestDecidable(part: Predicate): DecidablePart[] {
  const condition = conditionOf(part);
  return condition ? [{ part, condition }] : childrenOf(part).flatMap(largestDecidable);
}

function statementOf(
  { by, shares = [] }: GroupQuery,
  {
    where,
    decided,
    needsInventory,
  }: {
    where: RawBuilder<boolean>;
    decided: readonly RawBuilder<boolean>[];
    needsInventory: boolean;
  },
): RawBuilder<GroupRow> {
  const asked = new Set<GroupField>(by);
  if (needsInventory) asked.add("inventory");
  const told = (field: GroupField, name: string) =>
    asked.has(field) ? sql.ref(`vehicle.${name}`) : sql`null::text`;
  const reached = shares.map(({ salt, bounds }) => reachedOf(salt, sql.ref("vehicle.vin"), bounds));
  const isAsked = [
    ...columnFields.map((field) => asked.has(field)),
    reached.length > 0,
    decided.length > 0,
  ];
  const places = isAsked.flatMap((is, index) => (is ? [FIRST_PLACE + index] : []));
  const groupBy =
    places.length === 0 ? sql`` : sql`group by ${sql.join(places.map((place) => sql.lit(place)))}`;
  return sql`
    select
      count(*) as count,
      min(vehicle.vin collate "C") as first,
      max(vehicle.vin collate "C") as last,
      ${told("inventory", "inventory_id")} as inventory_id,
      ${told("model", "model")} as model,
      ${told("region", "region")} as region,
      ${told("channel", "channel")} as channel,
      ${arrayOf(reached, "integer")} as reached,
      ${arrayOf(decided, "boolean")} as decided
    from vehicle
    where ${where}
    ${groupBy}
    having count(*) > 0
  `;
}

/** Columns of the statement that groups are told apart by, in their order, before `reached`. */
const columnFields = ["inventory", "model", "region", "channel"] as const;
/** Place of the first of them. */
const FIRST_PLACE = 4;

function arrayOf(parts: readonly RawBuilder<unknown>[], type: string): RawBuilder<unknown> {
  return sql`array[${sql.join(parts)}]::${sql.raw(type)}[]`;
}

function asGroup(
  { count, first, last, model, region, channel, reached }: GroupRow,
  inventory: Inventory | null,
  flags: readonly boolean[],
): Group {
  const vins: Group["vins"] = [first, last];
  return { count, vins, model, region, channel: channel ?? "stable", inventory, reached, flags };
}

/** Inventories that are kept in memory at once. */
const KEPT = 5000;

/** Reads the inventories of rows, those not read lately in one statement. */
function inventoryReader(tx: Tx) {
  const kept = new Map<string, Inventory>();
  return async (rows: readonly GroupRow[]) => {
    const wanted = new Set(
      rows.map(({ inventory_id }) => inventory_id).filter((id) => id !== null),
    );
    const missing = [...wanted].filter((id) => !kept.has(id));
    if (kept.size + missing.length > KEPT) {
      for (const id of kept.keys()) if (!wanted.has(id)) kept.delete(id);
    }
    for (const inventory of await inventoriesById(tx, missing)) {
      kept.set(inventory.inventory_id, inventory);
    }
    return (id: string | null) => (id === null ? null : (kept.get(id) ?? null));
  };
}
