import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FilterError } from "#server/targeting/filter-error.ts";
import { matches, parseFilter, printFilter } from "#server/targeting/filter.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import { inventoryOf } from "#server/vehicles/inventory.ts";
import { predicates, targetVehicles } from "./arbitrary.ts";
import { printPredicate } from "#server/targeting/print.ts";
import { compile } from "#server/targeting/compile.ts";

const ecu = (ecu_id: string, ecu_type: string, software_version: string) => ({
  ecu_id,
  zone_id: "ZG-FRONT",
  ecu_type,
  hardware_version: "HW-1.0",
  software_version,
});

const known: TargetVehicle = {
  vin: "VMG-001",
  model: "Lattice One",
  region: "EU",
  channel: "beta",
  tags: ["pilot", "taxi"],
  profile: 3,
  time_zone: "Europe/Berlin",
  registered_at: new Date("2026-03-01T12:00:00Z"),
  inventory: inventoryOf([
    ecu("ECU_1", "brake", "1.4.0"),
    ecu("ECU_2", "door", "1.0.0"),
    ecu("ECU_3", "door", "2.0.0-rc.1+7"),
  ]),
};
const unknown: TargetVehicle = {
  ...known,
  model: null,
  region: null,
  tags: [],
  profile: null,
  time_zone: null,
  inventory: null,
};

const fits = (text: string, vehicle = known) => matches(parseFilter(text), vehicle);

describe("a filter", () => {
  it.each([
    "all",
    'model == "Lattice One" and region in ("EU", "US") and not tag == "test"',
    'vin in ("VMG-001", "VMG-002")',
    'vin ~ "VMG-*"',
    'vin ~ "?MG-*1"',
    'vin !~ "VMG-*2"',
    'time_zone ~ "Europe/*"',
    "channel == beta",
    'channel == "beta"',
    "channel not in (stable)",
    "profile >= 2",
    "profile in (0, 3)",
    "profile == hybrid",
    "profile >= hybrid",
    "profile < pure-pq",
    "profile > pq-key-exchange",
    "not profile > hybrid",
    'tag == "pilot"',
    'tag ~ "pi*"',
    'tag != "test"',
    'tag not in ("test", "old")',
    'not tag != "taxi"',
    'ecu("brake")',
    'not ecu("radar")',
    'ecu("brake").version < 2.0.0',
    'ecu("brake").version in (1.0.0, 1.4.0)',
    'ecu("brake").hardware ~ "HW-1.*"',
    'ecu("door").version == 2.0.0-rc.1',
    'ecu("door").version < 2.0.0 and ecu("door").version > 1.9.0',
    "registered >= 2026-03-01 and registered < 2026-03-02",
    "registered <= 2026-03-01T13:00:00+01:00",
    "model is known",
    'region == "US" or region == "EU" and channel == beta',
    'NOT (region == "US" OR channel == stable)',
  ])("fits the vehicle: %s", (text) => {
    expect(fits(text)).toBe(true);
  });

  it.each([
    'model == "lattice one"',
    'model ~ "Lattice"',
    "profile != hybrid",
    'tag == "pilot" and tag == "test"',
    'tag !~ "pi*"',
    'ecu("brake").version != 1.4.0',
    'ecu("radar").version >= 0.0.0',
    "registered > 2026-03-01T12:00:00Z",
    "model is unknown",
    '(region == "US" or region == "EU") and channel == stable',
  ])("does not fit the vehicle: %s", (text) => {
    expect(fits(text)).toBe(false);
  });

  it("takes what is not known for fitting no comparison, and not for its opposite", () => {
    for (const text of [
      'model == "Lattice One"',
      'model != "Lattice One"',
      'region not in ("EU")',
      'region !~ "E*"',
      "profile >= 0",
      "profile != 3",
      'ecu("brake").version != 1.0.0',
    ]) {
      expect([text, fits(text, unknown), fits(`not ${text}`, unknown)]).toEqual([
        text,
        false,
        true,
      ]);
    }
    expect(fits("model is unknown and profile is unknown", unknown)).toBe(true);
    expect(fits('tag != "test"', unknown)).toBe(true);
  });

  it("is written in one way, which reads as what it was", () => {
    expect(printFilter(parseFilter('  NOT(tag=="a\\"b")and\n(all AND(profile>=2))'))).toBe(
      'not tag == "a\\"b" and all and profile >= 2',
    );
    fc.assert(
      fc.property(predicates, targetVehicles, (predicate, vehicle) => {
        const printed = printPredicate(predicate);
        const filter = parseFilter(printed);
        expect(filter.predicate).toEqual(predicate);
        expect(printFilter(filter)).toBe(printed);
        expect(matches(filter, vehicle)).toBe(compile(predicate)(vehicle));
      }),
      { numRuns: 500 },
    );
  });
});

describe("a mistake in a filter", () => {
  const mistake = (text: string) => {
    try {
      parseFilter(text);
    } catch (error) {
      if (!(error instanceof FilterError)) throw error;
      expect(error.code).toBe("FILTER_INVALID");
      return { ...error.position, message: error.message };
    }
    throw new Error("there is none");
  };

  it.each([
    ["", 0, "expected a condition"],
    ['modle == "X"', 0, "did you mean model?"],
    ['tags == "X"', 0, "did you mean tag?"],
    ['model = "X"', 6, "after model one of: == != ~ !~ in not in is; found ="],
    ['model < "X"', 6, "after model one of"],
    ["vin is known", 4, "vin is always known"],
    ["model == X", 9, "in quotes"],
    ['ecu("a").version == "1.0.0"', 20, "a semantic version without quotes"],
    ['ecu("a").version == 1.0', 20, "a semantic version"],
    ['ecu("a").version ~ 1.0.0', 17, "one of: == != < <= > >= in not in"],
    ['ecu("a").colour == "red"', 9, "version or hardware"],
    ['ecu("a").versoin == 1.0.0', 9, "did you mean version?"],
    ["ecu(brake)", 4, "in quotes"],
    ["channel == betta", 11, "stable or beta"],
    ["channel > stable", 8, "one of: == != in not in"],
    ["profile == 13", 11, "0 to 12"],
    ["profile == 02", 11, "0 to 12"],
    ["profile == 2.0.0", 11, "0 to 12"],
    ["profile >= hybird", 11, "hybrid"],
    ["registered > 2026-02-31", 13, "a date"],
    ["registered > yesterday", 13, "a date"],
    // What the database takes for no time.
    ["registered > 0000-01-01", 13, "a date"],
    ["registered > 0001-01-01T00:00+01:00", 13, "a date"],
    ["registered > 9999-12-31T23:59-01:00", 13, "a date"],
    ["registered == 2026-01-01", 11, "one of: < <= > >="],
    ['model in "X"', 9, "a list in parentheses"],
    ["model in ()", 10, "in quotes"],
    ['model in ("X"', 13, ", or )"],
    ['model == "X" region == "EU"', 13, "expected and, or, or the end"],
    ['model == "X" && all', 13, "found &&"],
    ['(model == "X"', 13, "expected and, or, or ); the filter ends"],
    ['model == "X', 9, 'a string goes from " to "'],
    ['model == "\\n"', 9, "a string"],
    ["not", 3, "expected a condition"],
    ["model is maybe", 9, "known or unknown"],
    ["model not like", 6, "one of"],
  ])("is told with its place: %s", (text, offset, message) => {
    expect(mistake(text)).toMatchObject({
      offset,
      line: 1,
      column: offset + 1,
      message: expect.stringContaining(message) as string,
    });
  });

  it("is told by line and column", () => {
    expect(mistake('model == "X"\n  and tagg == "a"')).toMatchObject({
      offset: 19,
      line: 2,
      column: 7,
    });
  });

  it("is to be too long, too deep, or to list too much", () => {
    expect(mistake(`model == "${"x".repeat(4096)}"`).offset).toBe(4096);
    expect(mistake(`${"(".repeat(33)}all${")".repeat(33)}`).offset).toBe(33);
    expect(parseFilter(`${"(".repeat(32)}all${")".repeat(32)}`)).toBeDefined();
    expect(mistake(`${"not ".repeat(33)}all`).message).toContain("32 deep");
    const list = (count: number) => `profile in (${Array(count).fill("1").join(",")})`;
    expect(parseFilter(list(500))).toBeDefined();
    expect(mistake(list(501)).message).toContain("500 values");
  });

  it("is never anything but that, whatever is read", () => {
    const words = fc.constantFrom(
      ...'( ) , . " == ~ in not and or ecu all tag is 1.0.0 2 x'.split(" "),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(words).map((all) => all.join(" ")),
        ),
        (text) => {
          let mistake: unknown;
          try {
            parseFilter(text);
          } catch (error) {
            mistake = error;
          }
          expect(mistake === undefined || mistake instanceof FilterError).toBe(true);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("takes no time that grows with the square of a pattern", () => {
    const pattern = "*a".repeat(1000);
    expect(fits(`vin ~ "${pattern}b"`, { ...known, vin: "a".repeat(64) })).toBe(false);
  });
});
