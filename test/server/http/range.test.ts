import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProblemError } from "#protocol/api/problem.ts";
import { selectRange } from "#server/http/range.ts";

const etag = '"abc"';
const select = (range: string | undefined, ifRange?: string, size = 1000) =>
  selectRange(size, etag, { range, ifRange });

describe("selectRange (RFC 9110 §14)", () => {
  it.each([
    ["bytes=0-0", 0, 0],
    ["bytes=0-", 0, 999],
    ["bytes=500-599", 500, 599],
    ["bytes=999-", 999, 999],
    ["bytes=990-5000", 990, 999],
    ["bytes=-1", 999, 999],
    ["bytes=-1000", 0, 999],
    ["bytes=-5000", 0, 999],
  ])("%s", (range, start, end) => {
    expect(select(range)).toEqual({ status: 206, start, end });
  });

  it.each([
    undefined,
    "",
    "bytes",
    "bytes=",
    "bytes=a-b",
    "items=0-5",
    "0-5",
    "bytes=0-5,10-15",
    "bytes=0-1,1-2,3-4",
  ])("sends everything for %j", (range) => {
    expect(select(range)).toEqual({ status: 200 });
  });

  it.each(["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999999999999-"])(
    "can't satisfy %s",
    (range) => {
      expect(() => select(range)).toThrow(
        expect.objectContaining({ code: "RANGE_NOT_SATISFIABLE" }) as ProblemError,
      );
    },
  );

  it("honours If-Range only for this very file", () => {
    expect(select("bytes=0-4", etag)).toEqual({ status: 206, start: 0, end: 4 });
    for (const other of ['"abd"', 'W/"abc"', "abc", "", "Mon, 19 Jan 2026 10:07:00 GMT"]) {
      expect(select("bytes=0-4", other)).toEqual({ status: 200 });
    }
  });

  it("never selects a byte that is not there, whatever is asked", () => {
    const piece = fc.constantFrom(
      "bytes=",
      "bytes",
      "=",
      "-",
      ",",
      " ",
      "0",
      "1",
      "9",
      "10",
      "1e2",
      "0x1",
      "-1",
      ".5",
    );
    const range = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
    const size = fc.integer({ min: 1, max: 20 });
    const outcome = (text: string, length: number) => {
      try {
        return select(text, undefined, length);
      } catch (error) {
        return { status: 416, error };
      }
    };
    fc.assert(
      fc.property(range, size, (text, length) => {
        const { start = 0, end = 0, status } = outcome(text, length) as Record<string, number>;
        expect([200, 206, 416]).toContain(status);
        expect(Number.isInteger(start) && Number.isInteger(end)).toBe(true);
        expect(start >= 0 && start <= end && end < length).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});
