import { styleText } from "node:util";
import { printable } from "./printable.ts";

const GAP = "  ";
/** So much of a cell tells what it is about. */
const COMFORTABLE = 24;
/** Less of a cell tells nothing. */
const LEAST = 8;
/** A time without its seconds, and without its year. */
const TIME_WIDTHS = [16, 11];
const TIME = /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?$/;
/** What is to be copied is shown whole. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[0-9a-f]{64}$/;

interface Fit {
  /** Where it has to fit in; by default the terminal's, and none where the output goes elsewhere. */
  width?: number | undefined;
  /** Headings of columns that can be done without, those first that are missed least. */
  spare?: readonly string[] | undefined;
}

/**
 * Rows as aligned columns under a heading, for people; what is in them is shown, never obeyed.
 * Where there is no room, spare columns are left out, times lose their seconds and year, and the
 * widest cells are cut; ids are not.
 */
export function table(
  heading: readonly string[],
  content: readonly (readonly string[])[],
  { width = process.stdout.isTTY ? process.stdout.columns : undefined, spare = [] }: Fit = {},
): string {
  const all = heading.map((title, at) =>
    columnOf(
      title,
      content.map((row) => printable(row[at] ?? "")),
    ),
  );
  const columns = width === undefined ? all : fitted(all, width, spare);
  const line = (cellOf: (column: Column) => string) =>
    columns
      .map((column) => cut(cellOf(column), column.width).padEnd(column.width))
      .join(GAP)
      .trimEnd();
  return [
    styleText(
      "bold",
      line(({ title }) => title),
    ),
    ...content.map((row, at) =>
      styled(
        line(({ cells }) => cells[at] ?? ""),
        row,
      ),
    ),
  ].join("\n");
}

interface Column {
  title: string;
  cells: readonly string[];
  kind: "id" | "time" | "text";
  width: number;
}

function columnOf(title: string, cells: readonly string[]): Column {
  const kind = cells.some((cell) => ID.test(cell))
    ? "id"
    : cells.some((cell) => TIME.test(cell))
      ? "time"
      : "text";
  return { title, cells, kind, width: Math.max(title.length, ...cells.map((cell) => cell.length)) };
}

function fitted(columns: readonly Column[], width: number, spare: readonly string[]): Column[] {
  const over = (of: readonly Column[]) =>
    of.reduce((sum, each) => sum + each.width, (of.length - 1) * GAP.length) - width;
  let shown = columns.map((column) => ({ ...column }));
  for (const title of spare) {
    if (over(shown.map(comfortable)) <= 0) break;
    shown = shown.filter((column) => column.title !== title);
  }
  narrow(shown, over, COMFORTABLE);
  for (const least of TIME_WIDTHS) {
    for (const column of shown) {
      if (column.kind !== "time" || over(shown) <= 0) continue;
      column.width = Math.min(column.width, Math.max(column.title.length, least));
    }
  }
  narrow(shown, over, LEAST);
  return shown;
}

function comfortable(column: Column): Column {
  if (column.kind !== "text") return column;
  return { ...column, width: Math.min(column.width, Math.max(column.title.length, COMFORTABLE)) };
}

/** Takes from the widest column, again and again, until they fit or nothing is left to take. */
function narrow(
  columns: readonly Column[],
  over: (columns: readonly Column[]) => number,
  least: number,
): void {
  while (over(columns) > 0) {
    const widest = columns
      .filter(({ kind, title, width }) => kind === "text" && width > Math.max(title.length, least))
      .reduce<Column | undefined>(
        (best, each) => (each.width > (best?.width ?? 0) ? each : best),
        undefined,
      );
    if (widest === undefined) return;
    widest.width--;
  }
}

function cut(cell: string, width: number): string {
  if (cell.length <= width) return cell;
  if (TIME.test(cell)) {
    const [minute = 0, day = 0] = TIME_WIDTHS;
    if (width >= minute) return cell.slice(0, minute);
    const isThisYear = Number(cell.slice(0, 4)) === new Date().getFullYear();
    if (isThisYear && width >= day) return cell.slice("2026-".length, minute);
  }
  return `${cell.slice(0, Math.max(0, width - 1))}…`;
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
