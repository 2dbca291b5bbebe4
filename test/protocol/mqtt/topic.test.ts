import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  matches,
  mayPublish,
  maySubscribe,
  parseTopic,
  topicOf,
  vehicleTopics,
  type VehicleTopic,
} from "#protocol/mqtt/topic.ts";

const names = Object.keys(vehicleTopics) as VehicleTopic[];
const own = "VMG-001";

/** Ids, pieces of topics, and what confuses prefixes and levels. */
const level = fc.constantFrom(
  own,
  "VMG-0011",
  "VMG-00",
  "vehicle",
  "+",
  "#",
  "",
  "ota",
  "status",
  "control",
  "response",
  "config",
  "diagnostics",
  "telemetry",
  "$SYS",
  "+#",
  "..",
  "__proto__",
);
const filter = fc.array(level, { minLength: 1, maxLength: 6 }).map((levels) => levels.join("/"));

describe("topics", () => {
  it("round trip", () => {
    for (const name of names) {
      expect(parseTopic(topicOf(own, name))).toEqual({ vin: own, name });
    }
  });

  it.each([
    "",
    "vehicle",
    "vehicle/VMG-001",
    "vehicle//telemetry",
    "vehicle/VMG-001/",
    "vehicle/VMG-001/unknown",
    "vehicle/VMG-001/ota",
    "vehicle/VMG-001/telemetry/",
    "vehicle/VMG-001/toString",
    "vehicle/VMG-001/__proto__",
    "/vehicle/VMG-001/telemetry",
    "Vehicle/VMG-001/telemetry",
  ])("does not know %j", (topic) => {
    expect(parseTopic(topic)).toBeUndefined();
  });

  it("lets a vehicle publish its own topics upwards, and no other", () => {
    const allowed = names.filter((name) => mayPublish(own, topicOf(own, name)));
    expect(allowed.sort()).toEqual(
      [
        ...["control/response", "diagnostics", "diagnostics/events", "heartbeat"],
        ...["ota/status", "telemetry", "vci"],
      ].sort(),
    );
    fc.assert(
      fc.property(filter, (topic) => {
        const isOwn = allowed.some((name) => topicOf(own, name) === topic);
        expect(mayPublish(own, topic)).toBe(isOwn);
      }),
    );
  });

  it.each([
    "vehicle/VMG-001/control",
    "vehicle/VMG-001/config",
    "vehicle/VMG-001/diagnostics",
    "vehicle/VMG-001/#",
    "vehicle/VMG-001/+",
    "vehicle/VMG-001/control/#",
  ])("lets a vehicle subscribe to %s", (wanted) => {
    expect(maySubscribe(own, wanted)).toBe(true);
  });

  it.each([
    "#",
    "+",
    "vehicle/#",
    "vehicle/+/control",
    "vehicle/+/#",
    "+/VMG-001/control",
    "vehicle/VMG-0011/control",
    "vehicle/VMG-00/control",
    "vehicle/VMG-001",
    "vehicle/VMG-001/telemetry",
    "vehicle/VMG-001/con#",
    "vehicle/VMG-001/#/control",
    "vehicle/VMG-001/control+",
    "$share/g/vehicle/VMG-001/control",
    "$SYS/#",
    "",
  ])("does not let a vehicle subscribe to %j", (wanted) => {
    expect(maySubscribe(own, wanted)).toBe(false);
  });

  it("never lets a filter reach another vehicle, however it is put together", () => {
    const others = ["VMG-002", "VMG-0011", "VMG-00", "+", "#", "vehicle"];
    fc.assert(
      fc.property(
        filter,
        fc.constantFrom(...others),
        fc.constantFrom(...names),
        (wanted, vin, name) => {
          const reaches = maySubscribe(own, wanted) && matches(wanted, topicOf(vin, name));
          expect(reaches).toBe(false);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it("is not fooled by an id that is a wildcard or has levels", () => {
    for (const vin of ["+", "#", "a/b", ""]) {
      expect(mayPublish(own, `vehicle/${vin}/telemetry`)).toBe(false);
      expect(maySubscribe(own, `vehicle/${vin}/control`)).toBe(false);
    }
  });
});

describe("matches (MQTT 3.1.1 §4.7)", () => {
  it.each([
    ["a/b", "a/b", true],
    ["a/b", "a/b/c", false],
    ["a/b/c", "a/b", false],
    ["a/+", "a/b", true],
    ["a/+", "a/b/c", false],
    ["a/+", "a", false],
    ["a/+/c", "a/b/c", true],
    ["a/#", "a/b/c", true],
    // §4.7.1.2: "sport/tennis/player1/#" matches "sport/tennis/player1" too.
    ["a/#", "a", true],
    ["a/b/#", "a", false],
    ["#", "a/b", true],
    ["+", "", true],
    ["a//b", "a/b", false],
  ])("%s on %s: %s", (wanted, topic, expected) => {
    expect(matches(wanted, topic)).toBe(expected);
  });
});
