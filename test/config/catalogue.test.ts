import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadCatalogues } from "#config/catalogue.ts";
import { CatalogueError } from "#protocol/uds/catalogue.ts";
import type { DefinitionFile } from "#protocol/uds/definition.ts";
import { testFolder } from "#test/helpers/folder.ts";

/** A folder with these files. */
function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = join(testFolder(), "catalogue");
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** What is wrong with a folder, with the folder's own name left out. */
function problemsOf(folder: string): string[] {
  try {
    loadCatalogues(folder);
  } catch (error) {
    if (!(error instanceof CatalogueError)) throw error;
    return error.problems.map((problem) => problem.replaceAll(`${folder}/`, ""));
  }
  return [];
}

describe("a catalogue", () => {
  it("is read from the files of a folder, general ones and those of a type", () => {
    const catalogues = loadCatalogues(
      folderOf({
        "general.yaml": "dids:\n  - { did: 0x0200, name: mileage }\n",
        "battery.yml": "ecu_type: battery\ndids:\n  - { did: 0x0200, name: cycles }\n",
        "empty.yaml": "# nothing yet\n",
        "notes.txt": "dids: broken",
      }),
    );
    expect(catalogues.of("battery").dids.get(0x0200)?.name).toBe("cycles");
    expect(catalogues.of("brake").dids.get(0x0200)?.name).toBe("mileage");
    expect(catalogues.ecuTypes).toEqual(["battery"]);
  });

  it("is refused with the file, the line and what is wrong there", () => {
    const folder = folderOf({
      "a.yaml": [
        "dids:",
        "  - { did: 0xF190, name: VIN }",
        "  - did: 0x10000",
        "    name: far",
        "    codec:",
        "      kind: uint",
        "      length: 9",
        "  - { did: 1, name: x, codec: { kind: float } }",
        "  - { did: 2, codec: { kind: hex } }",
        "dtc: []",
      ].join("\n"),
      "b.yaml": "dids: [\n  { did: 1",
      "c.yaml": [
        "dids:",
        "  - did: 3",
        "    name: s",
        "    codec:",
        "      kind: struct",
        "      fields:",
        "        - { name: a, codec: { kind: uint } }",
      ].join("\n"),
    });
    expect(problemsOf(folder).toSorted((a, b) => a.localeCompare(b))).toEqual([
      "a.yaml:1: no such key: dtc",
      "a.yaml:3: dids.1.did: must be <= 65535",
      "a.yaml:7: dids.1.codec.length: must be <= 6",
      "a.yaml:8: dids.2.codec: kind is one of ascii, uint, int, enum, bits, bcd, date, hex, struct",
      "a.yaml:9: dids.3: name is missing",
      "b.yaml:2: is not YAML: bad indent",
      "c.yaml:7: dids.0.codec.fields.0.codec: length is missing",
    ]);
  });

  it("is refused where definitions contradict each other, over all files", () => {
    const folder = folderOf({
      "a.yaml": "dids:\n  - { did: 1, name: a }\n",
      "b.yaml": "# again\ndids:\n  - { did: 2, name: b }\n  - { did: 1, name: a }\n",
    });
    expect(problemsOf(folder)).toEqual(["b.yaml:4: dids.1: is defined already, a.yaml:2: dids.0"]);
  });

  it("is refused where the folder or a file can't be read, or is too large", () => {
    expect(problemsOf(join(testFolder(), "nowhere"))[0]).toMatch(/nowhere: can't be read/);
    const folder = folderOf({ "large.yaml": `# ${" ".repeat(4 * 1024 * 1024)}` });
    expect(problemsOf(folder)[0]).toMatch(/^large.yaml: \d+ bytes, at most 4194304 are read$/);
    mkdirSync(join(folder, "folder.yaml"));
    expect(problemsOf(folder)[0]).toMatch(/^folder.yaml: can't be read/);
  });

  it("does not grow by its aliases", () => {
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let level = 1; level < 9; level++) {
      const ten = Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ");
      lines.push(`a${level}: &a${level} [${ten}]`);
    }
    expect(problemsOf(folderOf({ "bomb.yaml": lines.join("\n") }))).toEqual([
      expect.stringMatching(/^bomb.yaml: .*alias/i),
    ]);
  });
});

describe("the catalogue that is shipped", () => {
  const config = join(import.meta.dirname, "../../config");
  const catalogues = loadCatalogues("");

  it.each(readdirSync(join(config, "ecus")))("knows all that ecus/%s can do", (name) => {
    const ecu = parse(
      readFileSync(join(config, "ecus", name), "utf8"),
    ) as Required<DefinitionFile> & {
      ecu_type: string;
    };
    const { dids, dtcs, rids, securityLevels } = catalogues.of(ecu.ecu_type);
    expect(catalogues.ecuTypes).toContain(ecu.ecu_type);
    for (const { did, name: didName, codec } of ecu.dids) {
      expect(dids.get(did)?.definition).toEqual({ did, name: didName, ...(codec && { codec }) });
    }
    for (const { code, text } of ecu.dtcs) expect(dtcs.get(code)?.text).toBe(text);
    for (const { rid, name: ridName } of ecu.rids) expect(rids.get(rid)?.name).toBe(ridName);
    for (const { level, name: levelName } of ecu.security_levels) {
      expect(securityLevels.get(level)).toBe(levelName);
    }
  });

  it("names what the simulated ECUs record with a trouble code", () => {
    expect(catalogues.of("brake-controller").extendedData.get(2)?.name).toBe("agingCounter");
  });
});
