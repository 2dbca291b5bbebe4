import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadEcuDefinitions } from "#config/ecu-definitions.ts";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { testFolder } from "#test/helpers/folder.ts";

const shipped = join(import.meta.dirname, "../../config/ecus");
const types = [
  "brake-controller",
  "powertrain-controller",
  "battery-controller",
  "body-controller",
];

/** The brake controller's file with something else in it. */
function edited(from: string | RegExp, to: string): string {
  const folder = testFolder();
  cpSync(shipped, folder, { recursive: true });
  const file = join(folder, "brake-controller.yaml");
  const text = readFileSync(file, "utf8");
  const changed = text.replace(from, to);
  expect(changed).not.toBe(text);
  writeFileSync(file, changed);
  return folder;
}

describe("definitions of ECU types", () => {
  it("come with the vehicle's configuration, one for each type in it", () => {
    const { definitions } = loadVehicleConfig({});
    expect(Object.keys(definitions)).toEqual(types);
    expect(definitions["brake-controller"]?.periodic.max).toBe(8);
  });

  it("are read from the folder that is named", () => {
    const VMG_ECU_DEFINITIONS_DIR = edited("  max: 8", "  max: 5");
    const { definitions } = loadVehicleConfig({ VMG_ECU_DEFINITIONS_DIR });
    expect(definitions["brake-controller"]?.periodic.max).toBe(5);
  });

  it("are not needed", () => {
    expect(loadEcuDefinitions(shipped, ["seat-controller"])).toEqual({});
  });

  it.each([
    ["ecu_type: brake-controller", "ecu_type: seat", 'ecu_type: got "seat", the file is that of'],
    ["name: vehicleSpeed\n", "name: vehicleSpeed\n    nmae: x\n", "dids.0.nmae: no such key"],
    ["max_response: 4095", "max_response: 1", "max_response: got 1"],
    ["name: wheelSpeeds", "name: vehicleSpeed", "dids: vehicleSpeed appears more than once"],
    ["did: 0x0201", "did: 0x0200", "dids: 0x0200 appears more than once"],
    ["did: 0x0201", "did: 0xF190", "dids: 0xF190 is built in"],
    ["rid: 0x0301", "rid: 0xFF00", "rids: 0xFF00 is built in"],
    ["code: C0040-11", "code: C0035-11", "dtcs: C0035-11 appears more than once"],
    ["code: C0040-11", "code: C0040", "dtcs.3.code"],
    ["to: 130,", "to: 1300,", "dids 0x0200: got 1300"],
    ["    value: 3\n", "", "dids 0x0204: needs a value or a signal"],
    [
      "rearLeft: {",
      "rearMiddle: {",
      "dids 0x0201: fields.rearMiddle: the struct has no such field",
    ],
    ["rearLeft: {", "rearMiddle: {", "dids 0x0201: fields.rearLeft: needs a value or a signal"],
    ["length: 2, scale: 0.01, unit: km/h }\n    signal", "length: 9 }\n    signal", "dids.0.codec"],
    ["{ level: 3, name", "{ level: 4, name", "security_levels: 4 is even"],
    ["{ level: 3, name", "{ level: 5, name", "level 3 is none of the security_levels"],
    [
      "- did: 0x0202\n    options",
      "- did: 0x0299\n    options",
      "controls: 0x0299 is none of the dids",
    ],
    ["address: 0x30000000", "address: 0x20000800", "memory: calibration reaches into event log"],
    [/content: "4c.*"/, 'content: ""', "memory calibration: content is empty"],
    ["response: without_sid", "response: perhaps", "periodic.response"],
  ])("with %j as %j are refused", (from, to, problem) => {
    expect(() => loadEcuDefinitions(edited(from, to), types)).toThrow(problem);
  });

  it.each(types)("explain every key: %s", (type) => {
    const lines = readFileSync(join(shipped, `${type}.yaml`), "utf8").split("\n");
    const keys = lines.filter((line) => /^[a-z_]+:/.test(line));
    expect(keys).toHaveLength(9);
    const bare = keys.filter((key) => !lines[lines.indexOf(key) - 1]?.startsWith("#"));
    expect(bare).toEqual([]);
  });
});
