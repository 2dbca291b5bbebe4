/**
 * The topics of a vehicle. Each is `vehicle/{vin}/{name}`; the direction says who may publish.
 * `diagnostics` goes both ways on one topic: each side ignores its own kind.
 */
export const vehicleTopics = {
  telemetry: "up",
  heartbeat: "up",
  "ota/status": "up",
  vci: "up",
  diagnostics: "both",
  "diagnostics/control": "down",
  "diagnostics/events": "up",
  control: "down",
  "control/response": "up",
  config: "down",
} as const satisfies Record<string, "up" | "down" | "both">;

const ROOT = "vehicle/";

export type VehicleTopic = keyof typeof vehicleTopics;

/** `vehicle/VMG-001/ota/status` */
export function topicOf(vin: string, name: VehicleTopic): string {
  return `vehicle/${vin}/${name}`;
}

/** The vehicle and name of a concrete topic, or undefined when it is none of {@link vehicleTopics}. */
export function parseTopic(topic: string): { vin: string; name: VehicleTopic } | undefined {
  if (!topic.startsWith(ROOT)) return undefined;
  const vinEnd = topic.indexOf("/", ROOT.length);
  const vin = topic.slice(ROOT.length, Math.max(vinEnd, ROOT.length));
  const name = topic.slice(vinEnd + 1);
  if (vin === "" || !Object.hasOwn(vehicleTopics, name)) return undefined;
  return { vin, name: name as VehicleTopic };
}

/** May a vehicle publish this topic? Only its own, and only upwards. */
export function mayPublish(vin: string, topic: string): boolean {
  const parsed = parseTopic(topic);
  return parsed !== undefined && parsed.vin === vin && vehicleTopics[parsed.name] !== "down";
}

/**
 * May a vehicle subscribe to this filter? Wildcards are fine as long as they stay below the
 * vehicle's own `vehicle/{vin}/` and match at least one topic that goes down.
 */
export function maySubscribe(vin: string, filter: string): boolean {
  const prefix = `vehicle/${vin}/`;
  if (!filter.startsWith(prefix) || !isFilter(filter)) return false;
  return Object.entries(vehicleTopics).some(
    ([name, direction]) => direction !== "up" && matches(filter, prefix + name),
  );
}

/** MQTT 3.1.1 §4.7.1: `+` and `#` stand alone in a level, `#` only in the last. */
function isFilter(filter: string): boolean {
  const levels = filter.split("/");
  return levels.every(
    (level, index) =>
      level === "+" ||
      (level === "#" && index === levels.length - 1) ||
      (!level.includes("+") && !level.includes("#")),
  );
}

/** MQTT 3.1.1 §4.7: does a well-formed filter match a concrete topic? */
export function matches(filter: string, topic: string): boolean {
  const want = filter.split("/");
  const have = topic.split("/");
  for (const [index, level] of want.entries()) {
    if (level === "#") return true;
    if (index >= have.length || (level !== "+" && level !== have[index])) return false;
  }
  return want.length === have.length;
}
