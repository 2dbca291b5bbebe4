/** What spreadsheets would take for a formula, in whichever width it is typed. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
/** Some take semicolons and tabs for commas. */
const QUOTED = /[",;\t\r\n]/;

/** A line of CSV (RFC 4180); null is empty, and nothing is a formula to whoever opens it. */
export function csvLine(values: readonly (string | number | null)[]): string {
  return `${values.map(field).join(",")}\r\n`;
}

function field(value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
