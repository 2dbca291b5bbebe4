import type { Event } from "#protocol/api/event.ts";
import { shownTime } from "./table.ts";

/** An event for people: when, what, which vehicle, about what, what else is known, its place. */
export function eventCells({ id, at, kind, vin, subject, data }: Event): string[] {
  const { name, by } = nameIn(data);
  const told = Object.entries(data)
    .filter(([key]) => !by.includes(key))
    .map(([key, value]) => memberText(key, value));
  // An id is as wide as all else.
  if (name === "" && subject !== null) told.push(`id ${subject}`);
  return [shownTime(at), kind, vin ?? "", name, told.filter((text) => text !== "").join("; "), id];
}

/** What people call that which it is about, and the members that say so. */
function nameIn(data: Event["data"]): { name: string; by: readonly string[] } {
  const { name, ecu_type, version, ecus, after, before } = data;
  if (typeof name === "string") return { name, by: ["name"] };
  if (typeof ecu_type === "string" && typeof version === "string") {
    return { name: `${ecu_type} ${version}`, by: ["ecu_type", "version"] };
  }
  if (Array.isArray(ecus)) return { name: ecus.map(ecuText).join(", "), by: ["ecus"] };
  const policy = member(after ?? before, "name");
  return { name: typeof policy === "string" ? policy : "", by: [] };
}

function ecuText(ecu: unknown): string {
  return `${String(member(ecu, "ecu_id"))} ${String(member(ecu, "to_version"))}`;
}

function memberText(key: string, value: unknown): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return "";
  const [code, detail] = [member(value, "code"), member(value, "detail")];
  if (typeof code === "string" && typeof detail === "string") return `${detail} (${code})`;
  return `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`;
}

function member(of: unknown, key: string): unknown {
  return typeof of === "object" && of !== null ? (of as Record<string, unknown>)[key] : undefined;
}
