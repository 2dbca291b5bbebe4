import { describe, expect, test } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { interlocks as allInterlocks } from "#protocol/mqtt/interlock.ts";
import { violatedInterlock, type Situation } from "#vmg-sim/vmg/interlocks.ts";

const { interlocks: rules } = loadVehicleConfig({}).diagnostics;
const bytes = (hex: string) => Buffer.from(hex, "hex");

const parked: Situation = {
  speed_kmh: 0,
  gear: "P",
  voltage: 13.6,
  driver_consent: false,
  updating: false,
};
const driving: Situation = { ...parked, speed_kmh: 40, gear: "D" };

const violated = (request: string, situation: Situation, own = rules) =>
  violatedInterlock(own, bytes(request), situation);

describe("the interlocks of config/vehicle.yaml", () => {
  test.each(["22F190", "1902FF", "3E00", "1001", "1081", "2403"])(
    "let %s be read at any speed",
    (request) => {
      expect(violated(request, { ...driving, voltage: 3, updating: true })).toBeUndefined();
    },
  );

  test.each(["1003", "1101", "2701", "2FF19003", "31010205", "2E010200", "14FFFFFF", "BA", "23"])(
    "keep %s from a vehicle that moves, and let it pass in one that is parked",
    (request) => {
      expect(violated(request, driving)).toEqual({ interlock: "stationary", nrc: 0x88 });
      expect(violated(request, parked)).toBeUndefined();
    },
  );

  test.each(["2800", "2880", "2900", "2FF19000", "2F123400", "31020205", "31820205", "8501"])(
    "never keep an ECU from getting control back by %s",
    (request) => {
      expect(violated(request, { ...driving, voltage: 3, updating: true })).toBeUndefined();
    },
  );

  test.each(["2F0003", "2FF1", "3101", "2801", "8502"])(
    "do not take %s for what gives control back",
    (request) => {
      expect(violated(request, driving)).toBeDefined();
    },
  );
});

describe("an interlock", () => {
  const demanding = { ...rules, requests: { "3101": [...allInterlocks] } };
  const consenting = { ...parked, driver_consent: true };

  test.each([
    ["stationary", { speed_kmh: 0.5 }, 0x88],
    ["in_park", { gear: "N" }, 0x90],
    ["voltage", { voltage: 15.1 }, 0x92],
    ["voltage", { voltage: 11.7 }, 0x93],
    ["no_update", { updating: true }, 0x94],
    ["driver_consent", { driver_consent: false }, 0x22],
  ] as const)("%s is told by its NRC when %j", (interlock, change, nrc) => {
    const situation = { ...consenting, ...change };
    expect(violated("31010205", situation, demanding)).toEqual({ interlock, nrc });
    expect(violated("31010205", consenting, demanding)).toBeUndefined();
  });

  test("the longest beginning counts, in any case, and without the suppression bit", () => {
    const own = { ...rules, requests: { "31": [], "31..02": ["in_park" as const], fe: [] } };
    expect(violated("31010305", driving, own)).toBeUndefined();
    expect(violated("31010205", driving, own)).toMatchObject({ interlock: "in_park" });
    expect(violated("FE", driving, own)).toBeUndefined();
    const silent = { ...rules, requests: { "1103": [] } };
    expect(violated("1183", driving, silent)).toBeUndefined();
    expect(violated("2E83", driving, { ...rules, requests: { "2E03": [] } })).toBeDefined();
  });
});
