import { ProblemError } from "#protocol/api/problem.ts";

export interface RangeRequest {
  range: string | undefined;
  ifRange: string | undefined;
}

/** What to send of a file: all of it, or one part, with `end` inclusive. */
export type Selection = { status: 200 } | { status: 206; start: number; end: number };

/**
 * Selects what a GET asks for (RFC 9110 §14.2, §13.1.5). A range is ignored, and the whole file
 * sent, when it is malformed, asks for several parts, or `If-Range` does not name this very file.
 * @throws ProblemError RANGE_NOT_SATISFIABLE
 */
export function selectRange(
  size: number,
  etag: string,
  { range, ifRange }: RangeRequest,
): Selection {
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return { status: 200 };
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/i.exec(range) ?? [];
  const start = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if ((first === "" && last === "") || Number(last || Infinity) < Number(first)) {
    return { status: 200 };
  }
  if (start >= size) throw new ProblemError("RANGE_NOT_SATISFIABLE", `the file has ${size} bytes`);
  return { status: 206, start, end };
}
