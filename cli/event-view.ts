import type { Event } from "#protocol/api/event.ts";
import { shownTime } from "./table.ts";

/** An event for people: when, what, which vehicle, about what, what else is known, its place. */
export function eventCells({ id, at, kind, vin, subject, data }: Event): string[] {
  const name = nameIn(data);
  const told = Object.entries(data)
    .filter(([key]) => name === undefined || !naming.includes(key))
    .map(([key, value]) => memberText(key, value))
    .filter((text) => text !== "");
  return [shownTime(at), kind, vin ?? "", name ?? subject ?? "", told.join("; "), id];
}

const naming = ["name", "ecu_type", "version"];

/** What people call a campaign or a firmware. */
function nameIn({ name, ecu_type, version }: Event["data"]): string | undefined {
  if (typeof name === "string") return name;
  return typeof ecu_type === "string" && typeof version === "string"
    ? `${ecu_type} ${version}`
    : undefined;
}

function memberText(key: string, value: unknown): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return "";
  if (isReason(value)) return `${value.detail} (${value.code})`;
  return `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`;
}

function isReason(value: unknown): value is { code: string; detail: string } {
  const { code, detail } = Object(value) as { code?: unknown; detail?: unknown };
  return typeof code === "string" && typeof detail === "string";
}
