import { ProblemError, type Problem } from "#protocol/api/problem.ts";

/** A place in a filter's text. */
export type Position = NonNullable<Problem["position"]>;

/** A filter can't be read. */
export class FilterError extends ProblemError {
  declare readonly code: "FILTER_INVALID";
  override readonly position: Position;

  /** @param offset of what is wrong in `text`, in UTF-16 units */
  constructor(text: string, offset: number, what: string) {
    const position = positionOf(text, offset);
    super("FILTER_INVALID", `line ${position.line}, column ${position.column}: ${what}`);
    this.name = "FilterError";
    this.position = position;
  }
}

function positionOf(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  return { offset, line, column: offset - before.lastIndexOf("\n") };
}
