import semver from "semver";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Compile } from "typebox/compile";
import { EcuId, VehicleId, Version } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { checkVci, Vci } from "#protocol/api/vci.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";

const vciValidator = Compile(Vci);
const codeOf = (vci: Vci) => {
  try {
    checkVci(vci);
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
  return "OK";
};

describe("checkVci", () => {
  it("takes a vehicle as it should be", () => expect(codeOf(sampleVci())).toBe("OK"));

  it("refuses two ECUs of one id, also in different zones", () => {
    const vci = sampleVci();
    const [first, , third] = vci.ecus;
    expect(codeOf({ ...vci, ecus: [first, { ...third, ecu_id: "ECU_001" }] as Vci["ecus"] })).toBe(
      "VCI_DUPLICATE_ECU",
    );
  });

  it("refuses two zones of one id", () => {
    const vci = sampleVci();
    expect(codeOf({ ...vci, zones: [...vci.zones, { zone_id: "ZG-FRONT" }] })).toBe(
      "VCI_DUPLICATE_ZONE",
    );
  });

  it("refuses an ECU in a zone that is not listed, however it is spelled", () => {
    const vci = sampleVci();
    for (const zone_id of ["ZG-LEFT", "zg-front", "toString"]) {
      const ecus = vci.ecus.map((ecu, index) => (index === 0 ? { ...ecu, zone_id } : ecu));
      expect(codeOf({ ...vci, ecus })).toBe("VCI_ZONE_UNKNOWN");
    }
  });
});

describe("the VCI's schema", () => {
  const change = (ecu: object) => {
    const vci = sampleVci();
    return { ...vci, ecus: [{ ...vci.ecus[0], ...ecu }] };
  };

  it.each([
    [{ software_version: "1.2" }, false],
    [{ software_version: "v1.2.3" }, false],
    [{ software_version: "1.2.3.4" }, false],
    [{ software_version: "01.2.3" }, false],
    [{ software_version: "latest" }, false],
    [{ software_version: "1.2.3-rc.1+build.5" }, true],
    [{ ecu_id: "" }, false],
    [{ ecu_id: "a/b" }, false],
    [{ ecu_id: "ECU 1" }, false],
    [{ ecu_id: "x".repeat(65) }, false],
    [{ logical_address: 0 }, false],
    [{ logical_address: 65_536 }, false],
    [{ logical_address: 65_535 }, true],
    [{ serial_number: "x".repeat(65) }, false],
  ])("%j: %s", (ecu, expected) => expect(vciValidator.Check(change(ecu))).toBe(expected));

  it("bounds the number of zones and ECUs", () => {
    const { ecus, zones } = sampleVci();
    expect(vciValidator.Check({ zones, ecus: [] })).toBe(false);
    expect(vciValidator.Check({ zones: [], ecus })).toBe(false);
    const many = (count: number) => Array.from({ length: count }, () => ecus[0]);
    expect(vciValidator.Check({ zones, ecus: many(256) })).toBe(true);
    expect(vciValidator.Check({ zones, ecus: many(257) })).toBe(false);
    const wide = Array.from({ length: 65 }, () => zones[0]);
    expect(vciValidator.Check({ zones: wide, ecus })).toBe(false);
  });
});

describe("identifiers", () => {
  const isVersion = Compile(Version);

  it.each([
    "1.0.0-01",
    "1.0.0-a.00",
    "99999999999999999999.0.0",
    "1.9007199254740993.0",
    "1.0.0-",
    "1.0.0-a..b",
    "1.0.0+",
    " 1.0.0",
    "1.0.0\n",
  ])("%j is no version", (text) => expect(isVersion.Check(text)).toBe(false));

  it("a version is one that semver can compare, whatever it looks like", () => {
    const part = fc.constantFrom("0", "1", "01", "10", "99999999999999999999", "a", "-", "0a", "");
    const text = fc
      .tuple(part, part, part, fc.array(part, { maxLength: 3 }), fc.array(part, { maxLength: 2 }))
      .map(
        ([a, b, c, pre, build]) =>
          `${a}.${b}.${c}${pre.length > 0 ? `-${pre.join(".")}` : ""}${build.length > 0 ? `+${build.join(".")}` : ""}`,
      );
    fc.assert(
      fc.property(text, (value) => {
        const outside =
          value.length > 64 || value.split(/[-+]/)[0]?.includes("99999999999999999999") === true;
        expect(isVersion.Check(value)).toBe(!outside && semver.valid(value) !== null);
      }),
      { numRuns: 5000 },
    );
  });

  it("a name is never a path: nothing but dots is none", () => {
    const isEcu = Compile(EcuId);
    for (const text of [".", "..", "...", "a/b", "a\\b", "a\0"])
      expect(isEcu.Check(text)).toBe(false);
    for (const text of ["a", ".a", "a..b", "ECU_001", "x".repeat(64)]) {
      expect(isEcu.Check(text)).toBe(true);
    }
  });

  it("a vehicle id is 3 to 64 of the letters that topics and file names can carry", () => {
    const isVehicle = Compile(VehicleId);
    for (const text of ["ab", "x".repeat(65), "VMG/1", "VMG+1", "VMG#", "VMG 1", ""]) {
      expect(isVehicle.Check(text)).toBe(false);
    }
    expect(isVehicle.Check("WAUZZZ8V0JA000001")).toBe(true);
  });
});
