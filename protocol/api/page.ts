import Type, { type TSchema } from "typebox";

/** Query of every list: how many, and from which cursor on; the cursor is what the list gives. */
export function PageQuery<Cursor extends TSchema>(cursor: Cursor) {
  return Type.Object({
    limit: Type.Integer({ minimum: 1, maximum: 500, default: 50 }),
    cursor: Type.Optional(cursor),
  });
}

/** A page of a list; `next_cursor` is null on the last one. */
export function Page<Item extends TSchema>(item: Item) {
  return Type.Object({
    items: Type.Array(item),
    next_cursor: Type.Union([Type.String(), Type.Null()], { examples: [null] }),
  });
}
