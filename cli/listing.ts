import { InvalidArgumentError, type Command } from "commander";
import Type, { type Static, type TSchema } from "typebox";
import { answering, type Answered } from "./answering.ts";
import type { Gateway } from "./gateway.ts";
import { shownTime, table } from "./table.ts";

type Cell = string | number | boolean | null;

/** How a list of the API is asked for and shown. */
export interface Listing<Item extends TSchema> {
  /** By the command's arguments, which may be names that the gateway has to be asked for. */
  path: (gateway: Gateway, ...args: string[]) => string | Promise<string>;
  item: Item;
  /** Headings with what is below them. */
  columns: Record<string, (item: Static<Item>) => Cell>;
  /** Those that a narrow terminal is not shown, the one that is missed least first. */
  spare?: readonly string[];
  /** Said where there is nothing. */
  none: string;
  /** It comes whole, without pages. */
  whole?: true;
  examples: readonly string[];
}

interface Options {
  limit?: number;
  cursor?: string;
  json?: true;
  [query: string]: unknown;
}

/** Of the API. */
const PAGE = 500;
const MOST = 100_000;

/** A command that shows a list; its other options go into the query. */
export function listCommand<Item extends TSchema>(
  command: Command,
  listing: Listing<Item>,
): Command {
  if (listing.whole !== true) {
    command
      .option("--limit <n>", `how many at the most, up to ${MOST}`, limit, 50)
      .option("--cursor <cursor>", "go on behind the last list, as it says");
  }
  return answering<Options>(command, {
    examples: listing.examples,
    run: (gateway, options, ...args) => listed(gateway, listing, args, options),
  });
}

async function listed<Item extends TSchema>(
  gateway: Gateway,
  listing: Listing<Item>,
  args: readonly string[],
  { json: _, limit: most = MOST, cursor, ...query }: Options,
): Promise<Answered> {
  const base = await listing.path(gateway, ...args);
  const { items, next_cursor } = await readPages(gateway, listing.item, {
    path: base,
    query,
    cursor,
    most: listing.whole === true ? undefined : most,
  });
  if (items.length === 0) return { json: { items, next_cursor }, text: listing.none };
  const heading = Object.keys(listing.columns);
  const cells = Object.values(listing.columns);
  const rows = items.map((item) => cells.map((cell) => shown(cell(item))));
  const more = next_cursor === null ? "" : `\nThere are more: --limit, or --cursor ${next_cursor}`;
  return {
    json: { items, next_cursor },
    text: table(heading, rows, { spare: listing.spare }) + more,
  };
}

interface Reading {
  path: string;
  query?: object;
  cursor?: string | undefined;
  /** What the query calls the cursor; `since` where the list goes forward. */
  by?: "cursor" | "since";
  /** Not said: the list has no pages. */
  most: number | undefined;
}

/** Reads a list page by page. @throws GatewayError */
export async function readPages<Item extends TSchema>(
  gateway: Gateway,
  item: Item,
  { path, query = {}, cursor: from, by = "cursor", most }: Reading,
): Promise<{ items: Static<Item>[]; next_cursor: string | null }> {
  const Some = Type.Object({
    items: Type.Array(item),
    next_cursor: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  });
  const items: Static<Item>[] = [];
  let cursor: string | null = from ?? null;
  do {
    const limit = most === undefined ? undefined : Math.min(PAGE, most - items.length);
    const asked = queryOf({ ...query, limit, [by]: cursor });
    const page = (await gateway.get(`${path}${asked}`, Some)) as {
      items: Static<Item>[];
      next_cursor?: string | null;
    };
    items.push(...page.items);
    cursor = page.next_cursor ?? null;
  } while (cursor !== null && items.length < (most ?? 0));
  return { items, next_cursor: cursor };
}

/** Options as the API calls them; those that are not given are left out. */
export function queryOf(options: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options) as [string, Cell | undefined][]) {
    if (value !== undefined && value !== null) query.set(snakeCase(name), String(value));
  }
  return query.size === 0 ? "" : `?${query.toString()}`;
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

function shown(cell: Cell): string {
  if (cell === null) return "";
  return typeof cell === "string" && TIME.test(cell) ? shownTime(cell) : String(cell);
}

function limit(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= MOST) return value;
  throw new InvalidArgumentError(`It is a whole number from 1 to ${MOST}.`);
}
