import { styleText } from "node:util";
import { printable } from "./printable.ts";

const GAP = "  ";
/** Less of a cell tells nothing. */
const LEAST = 8;
/** Of a time, the day is left. */
const LEAST_TIME = 11;
const TIME = /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?$/;
/** What is to be copied is shown whole. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[0-9a-f]{64}$/;

/**
 * Rows as aligned columns under a heading, for people; what is in them is shown, never obeyed.
 * @param width where it has to fit in: the widest cells are cut, ids are not; by default the
 *   terminal's, and none where the output goes elsewhere
 */
export function table(
  heading: readonly string[],
  content: readonly (readonly string[])[],
  width: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
): string {
  const rows = content.map((row) => row.map(printable));
  const widths = fitted(heading, rows, width);
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cut(cell, widths[column] ?? 0).padEnd(widths[column] ?? 0))
      .join(GAP)
      .trimEnd();
  const bold = (text: string) => styleText("bold", text);
  const plain = rows.map(line);
  return [bold(line(heading)), ...plain.map((text, at) => styled(text, content[at] ?? []))].join(
    "\n",
  );
}

/** Takes from the widest column, again and again, until it fits or nothing is left to take. */
function fitted(
  heading: readonly string[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): number[] {
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  if (width === undefined) return widths;
  const least = heading.map((title, column) => {
    const cells = rows.map((row) => row[column] ?? "");
    if (cells.some((cell) => ID.test(cell))) return widths[column] ?? 0;
    return Math.max(title.length, cells.some((cell) => TIME.test(cell)) ? LEAST_TIME : LEAST);
  });
  let over = widths.reduce((sum, each) => sum + each, (heading.length - 1) * GAP.length) - width;
  while (over > 0) {
    const room = widths.map((each, column) => each - (least[column] ?? 0));
    const widest = widths
      .map((each, column) => ((room[column] ?? 0) > 0 ? each : 0))
      .reduce((best, each, column, all) => (each > (all[best] ?? 0) ? column : best), 0);
    if ((room[widest] ?? 0) <= 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    over--;
  }
  return widths;
}

function cut(cell: string, width: number): string {
  return cell.length > width ? `${cell.slice(0, Math.max(0, width - 1))}…` : cell;
}

const good = new Set(["success", "succeeded", "completed", "online", "running", "delivered"]);
const bad = new Set(["failed", "rolled_back", "stopped", "dead", "rejected", "expired"]);
const waiting = new Set(["paused", "awaiting_approval", "deferred", "finishing", "waiting"]);

/** States in colour, where the output is a terminal that wants it (NO_COLOR). */
function styled(line: string, cells: readonly string[]): string {
  const state = cells.find((cell) => good.has(cell) || bad.has(cell) || waiting.has(cell));
  if (state === undefined) return line;
  const colour = good.has(state) ? "green" : bad.has(state) ? "red" : "yellow";
  return line.replace(new RegExp(`\\b${state}\\b`), (word) => styleText(colour, word));
}

/** An RFC 3339 time without fractions of a second, which tell people nothing. */
export function toSecond(time: string): string {
  return time.replace(/\.\d+(?=Z$)/, "");
}

/** A time for people: in their zone on a terminal, RFC 3339 elsewhere; nothing for none. */
export function shownTime(time: string | null, isTerminal = process.stdout.isTTY): string {
  if (time === null) return "";
  if (!isTerminal) return toSecond(time);
  // sv-SE writes 2026-01-19 21:04:05.
  return new Date(time).toLocaleString("sv-SE");
}
