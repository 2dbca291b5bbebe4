import { describe, expect, it } from "vitest";
import { page } from "#server/http/page.ts";

const rows = (count: number) => Array.from({ length: count }, (_, index) => `row-${index}`);

describe("page", () => {
  it.each([
    [0, 0, null],
    [1, 1, null],
    [3, 3, null],
    [4, 3, "row-2"],
  ])("of 3, with %i rows there", (found, shown, next_cursor) => {
    const result = page(3, rows(found), (row) => row);
    expect(result.items).toEqual(rows(shown));
    expect(result.next_cursor).toBe(next_cursor);
  });
});
