/**
 * A page of a list: query one row more than `limit`; the row too many says that there is a next
 * page, and the last one shown is where it begins.
 */
export function page<Item>(
  limit: number,
  rows: Item[],
  cursorOf: (item: Item) => string,
): { items: Item[]; next_cursor: string | null } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > limit && last !== undefined ? cursorOf(last) : null };
}
