import { styleText } from "node:util";
import { printable } from "./printable.ts";

/** Rows as aligned columns under a heading, for people; what is in them is shown, never obeyed. */
export function table(heading: readonly string[], content: readonly (readonly string[])[]): string {
  const rows = content.map((row) => row.map(printable));
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [styleText("bold", line(heading)), ...rows.map(line)].join("\n");
}

/** An RFC 3339 time without fractions of a second, which tell people nothing. */
export function toSecond(time: string): string {
  return time.replace(/\.\d+(?=Z$)/, "");
}
