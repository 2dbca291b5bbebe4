import { holds, type Figure, type Row } from "./figure.ts";
import type { Sample } from "./sample.ts";

const HEADER = ["measured", "gateway", "peer", "ratio", "asked", ""];

/** The rows of a figure as aligned columns, for a terminal. */
export function tableText(figure: Figure): string {
  const lines = [HEADER, ...figure.rows.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...lines.map((line) => width(line[column]))));
  return lines
    .map((line) => `  ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd())
    .join("\n");
}

/** A figure as a section of `docs/benchmarks.md`. */
export function sectionMarkdown(figure: Figure): string {
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
  // A bar in a cell, of a pipe for one, would begin the next.
  const rows = figure.rows.map((row) => cells(row).map((cell) => cell.replaceAll("|", "\\|")));
  const table = [line(HEADER), line(HEADER.map(() => "---")), ...rows.map(line)];
  return [`## ${figure.title}`, ...figure.notes, table.join("\n")].join("\n\n");
}

function cells(row: Row): string[] {
  const verdict = holds(row);
  return [
    row.what,
    `${value(row.ours)} ${row.unit}`,
    row.peer === undefined ? "" : `${row.peer.name}: ${value(row.peer.sample)}`,
    row.ratio === undefined ? "" : value(row.ratio),
    asked(row),
    verdict === undefined ? "stated" : verdict ? "held" : "**missed**",
  ];
}

function asked({ asked: wanted, unit }: Row): string {
  if (wanted === undefined) return "";
  return "atMost" in wanted
    ? `at most ${wanted.atMost} ${unit}`
    : `ratio ≥ ${wanted.ratioAtLeast.toFixed(1)}`;
}

/** The median, with the lowest and highest run behind it. */
function value({ median, low, high }: Sample): string {
  return low === high ? number(median) : `${number(median)} (${number(low)}–${number(high)})`;
}

function number(amount: number): string {
  return amount >= 100 ? Math.round(amount).toLocaleString("en") : amount.toFixed(2);
}

function width(cell: string | undefined): number {
  return cell?.length ?? 0;
}
