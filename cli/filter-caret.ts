import type { FilterMistake } from "./gateway-error.ts";
import { printable } from "./printable.ts";

const INDENT = "  ";
const LESS = "…";

/** The line of a filter that has the mistake, and below it a caret where that is. */
export function filterCaret({ text, position }: FilterMistake, width = 80): string {
  const line = text.split(/\r\n|\n|\r/)[position.line - 1] ?? "";
  const before = printable(line.slice(0, position.column - 1));
  const from = before.length > width / 2 ? before.length - Math.floor(width / 2) : 0;
  const shown = printable(line).slice(from, from + width - INDENT.length - 2 * LESS.length);
  const isCut = printable(line).length > from + shown.length;
  const start = from > 0 ? LESS : "";
  const pad = " ".repeat(start.length + before.length - from);
  return `${INDENT}${start}${shown}${isCut ? LESS : ""}\n${INDENT}${pad}^`;
}
