import { stringify } from "yaml";
import { shownTime } from "./table.ts";

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** All that is known of one thing, for people: its members line by line, those that are null left out. */
export function details(value: object): string {
  return stringify(value, told, { lineWidth: 0 }).trimEnd();
}

function told(key: unknown, value: unknown): unknown {
  if (value === null && key !== "") return undefined;
  return typeof value === "string" && TIME.test(value) ? shownTime(value) : value;
}
