import { describe, expect, test } from "vitest";
import { buildCatalogues, CatalogueError, findDtc } from "#protocol/uds/catalogue.ts";
import type { DefinitionFile } from "#protocol/uds/definition.ts";

const general: DefinitionFile = {
  dids: [
    { did: 0x0200, name: "mileage", codec: { kind: "uint", length: 4, unit: "km" } },
    { did: 0x0201, name: "variant" },
  ],
  dtcs: [{ code: "P1A00", text: "Inverter" }],
  rids: [{ rid: 0x0300, name: "bleed" }],
};
const battery: DefinitionFile = {
  ecu_type: "battery-controller",
  dids: [{ did: 0x0200, name: "cycles", codec: { kind: "uint", length: 2 } }],
  dtcs: [{ code: "P1A00-16", text: "Inverter voltage low", severity: "check_immediately" }],
  rids: [
    {
      rid: 0x0300,
      name: "balance",
      result: [{ name: "cell", codec: { kind: "uint", length: 1 } }],
    },
  ],
  extended_data: [{ record: 1, name: "occurrences", codec: { kind: "uint", length: 1 } }],
  security_levels: [{ level: 1, name: "programming" }],
};

describe("catalogues", () => {
  const catalogues = buildCatalogues([{ definitions: battery }, { definitions: general }]);
  const own = catalogues.of("battery-controller");
  const other = catalogues.of("brake-controller");

  test("what is said of a type stands before what is said of all", () => {
    expect(catalogues.ecuTypes).toEqual(["battery-controller"]);
    expect(own.dids.get(0x0200)).toMatchObject({ name: "cycles", codec: { length: 2 } });
    expect(other.dids.get(0x0200)).toMatchObject({ name: "mileage", codec: { unit: "km" } });
    expect(catalogues.of(undefined)).toBe(other);
    expect([own.rids.get(0x0300)?.name, other.rids.get(0x0300)?.name]).toEqual([
      "balance",
      "bleed",
    ]);
    expect(own.extendedData.get(1)?.name).toBe("occurrences");
    expect(own.securityLevels.get(1)).toBe("programming");
    expect(other.securityLevels.size).toBe(0);
  });

  test("what the standard says is there, until a file says otherwise", () => {
    expect(own.dids.get(0xf190)?.name).toBe("VIN");
    expect(own.rids.get(0xff00)?.name).toBe("eraseMemory");
    const renamed = buildCatalogues([
      { definitions: { dids: [{ did: 0xf190, name: "chassis number" }] } },
    ]);
    expect(renamed.of("any").dids.get(0xf190)?.name).toBe("chassis number");
  });

  test("a code with its failure type stands before one without", () => {
    expect(findDtc(own, 0x1a0016)?.text).toBe("Inverter voltage low");
    expect(findDtc(own, 0x1a0011)?.text).toBe("Inverter");
    expect(findDtc(other, 0x1a0016)?.text).toBe("Inverter");
    expect(findDtc(other, 0x056216)?.text).toBe("System voltage low");
    expect(findDtc(other, 0x1fff00)).toBeUndefined();
  });

  test("a DID without a codec stays hex", () => {
    expect(other.dids.get(0x0201)?.codec.decode(Uint8Array.of(0xca, 0xfe))).toBe("CAFE");
  });

  test("every contradiction is named with its place", () => {
    const bad: DefinitionFile = {
      dids: [
        { did: 1, name: "a", codec: { kind: "uint", length: 1, scale: 0 } },
        { did: 2, name: "b" },
        { did: 2, name: "c" },
      ],
      security_levels: [{ level: 2, name: "even" }],
    };
    const again: DefinitionFile = { dids: [{ did: 2, name: "d" }] };
    let problems: unknown;
    try {
      buildCatalogues([
        { definitions: bad },
        { definitions: again, where: (path) => `again.yaml ${path.join("/")}` },
      ]);
    } catch (error) {
      problems = error instanceof CatalogueError && error.problems;
    }
    expect(problems).toEqual([
      "dids.0: a scale of 0 leaves no value",
      "dids.2: is defined already, dids.1",
      "security_levels.0: a level has the odd number of its requestSeed",
      "again.yaml dids/0: is defined already, dids.1",
    ]);
  });
});
