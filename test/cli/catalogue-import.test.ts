import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CommanderError } from "commander";
import { strToU8, zipSync } from "fflate";
import { describe, expect, test, vi } from "vitest";
import { loadCatalogues } from "#config/catalogue.ts";
import { catalogueCommand } from "#cli/catalogue.ts";
import { importOdx } from "#cli/odx-import.ts";
import { OdxError, readOdx } from "#cli/odx-document.ts";
import { temporaryFolder } from "#test/crypto/connection.ts";
import { sampleOdx } from "./odx-sample.ts";

const imported = (xml: string, options = {}) => importOdx(readOdx(strToU8(xml)), options);

describe("importing ODX", () => {
  const { definitions, layers, notes } = imported(sampleOdx, { ecuType: "engine" });

  test("takes DIDs with their codecs: text, linear numbers, words, structures", () => {
    expect(layers).toEqual(["EngineVariant"]);
    expect(definitions.ecu_type).toBe("engine");
    const temperature = { kind: "int", length: 2, scale: 0.1, offset: -40, unit: "°C" };
    const state = { kind: "enum", length: 1, values: { 0: "off", 1: "on & hot", 2: "on & hot" } };
    expect(definitions.dids).toEqual([
      {
        did: 0x0200,
        name: "Read_Block",
        codec: {
          kind: "struct",
          fields: [
            { name: "outer", codec: temperature },
            { name: "reserved 5", codec: { kind: "hex", length: 1 } },
            { name: "state", codec: state },
          ],
        },
      },
      { did: 0x0201, name: "Read_Flags" },
      { did: 0x0202, name: "Read_Text", codec: { kind: "ascii" } },
      { did: 0x0203, name: "Read_Swapped", codec: { kind: "hex", length: 2 } },
      { did: 0x0204, name: "Read_Curve", codec: { kind: "hex", length: 2 } },
      { did: 0xf190, name: "Read_VIN", codec: { kind: "ascii", length: 17 } },
    ]);
    expect(definitions.rids).toEqual([
      {
        rid: 0x0300,
        name: "Bleed",
        option: [{ name: "circuit", codec: state }],
        result: [{ name: "temp", codec: temperature }],
      },
    ]);
    expect(notes).toEqual(["DID 0x0201 Read_Flags has no codec, it stays hex"]);
  });

  test("takes trouble codes, with their failure type where they have one", () => {
    expect(definitions.dtcs).toEqual([
      { code: "P0566-16", text: "Battery < 9 V" },
      { code: "U0121", text: "LostAbs" },
    ]);
  });

  test("keeps the first where two differ, and can be told the layer", () => {
    const shared = `<ECU-SHARED-DATA><SHORT-NAME>Other</SHORT-NAME><DTCS><DTC><TROUBLE-CODE>49441</TROUBLE-CODE><TEXT>ABS is silent</TEXT></DTC></DTCS></ECU-SHARED-DATA></DIAG-LAYER-CONTAINER>`;
    const twice = sampleOdx.replace("</DIAG-LAYER-CONTAINER>", shared);
    expect(imported(twice).notes).toContain(
      "DTC U0121 is there again and different; the first is kept",
    );
    expect(imported(twice, { layer: "Other" }).definitions).toEqual({
      dids: [],
      dtcs: [{ code: "U0121", text: "ABS is silent" }],
      rids: [],
    });
    expect(() => imported(twice, { layer: "None" })).toThrow(/no layer None/);
  });

  test("takes namespaces and attributes as other tools write them", () => {
    const prefixed = sampleOdx
      .replaceAll(/<(\/?)(ODX|DIAG-LAYER-CONTAINER)\b/g, "<$1odx:$2")
      .replace("<odx:ODX ", '<odx:ODX xmlns:odx="urn:odx" ');
    expect(imported(prefixed).definitions.dids).toHaveLength(6);
  });

  test.each<[what: string, xml: string, message: RegExp]>([
    ["something else", "<html></html>", /no diagnostic layer/],
    ["no XML", "hello", /is not XML/],
    ["cut XML", sampleOdx.slice(0, -20), /is not XML/],
    [
      "entities of its own",
      '<!DOCTYPE ODX [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]><ODX>&b;</ODX>',
      /document type declaration/,
    ],
    ["an unknown entity", "<ODX>&lol;</ODX>", /is not XML/],
    ["deep nesting", "<a>".repeat(70), /nested too deep/],
    ["too many elements", `<ODX>${"<a/>".repeat(1_000_001)}</ODX>`, /more than 1000000 elements/],
  ])("refuses %s", (_, xml, message) => {
    expect(() => imported(xml)).toThrow(
      expect.objectContaining({ code: "ODX_INVALID", message: expect.stringMatching(message) }),
    );
  });

  test("never fails otherwise, whatever is left out of a document", () => {
    const elements = [...sampleOdx.matchAll(/<([A-Z-]+)[^<>/]*>[^<>]*<\/\1>/g)];
    expect(elements.length).toBeGreaterThan(100);
    for (const { index, 0: text } of elements) {
      const without = sampleOdx.slice(0, index) + sampleOdx.slice(index + text.length);
      expect(imported(without).layers).toHaveLength(1);
    }
  });
});

describe("a PDX", () => {
  test("is read for its ODX files, which may refer to each other", () => {
    const [dictionary = ""] =
      /<DIAG-DATA-DICTIONARY-SPEC>.*<\/DIAG-DATA-DICTIONARY-SPEC>/s.exec(sampleOdx) ?? [];
    const pdx = zipSync({
      "index.xml": strToU8("<CATALOG/>"),
      "engine.odx-d": strToU8(sampleOdx.replace(dictionary, "")),
      "data/shared.odx-d": strToU8(
        `<ODX><ECU-SHARED-DATA><SHORT-NAME>Shared</SHORT-NAME>${dictionary}</ECU-SHARED-DATA></ODX>`.replaceAll(
          " xsi:type",
          " type",
        ),
      ),
    });
    const { definitions, layers } = importOdx(readOdx(pdx));
    expect(layers.toSorted((a, b) => a.localeCompare(b))).toEqual(["EngineVariant", "Shared"]);
    expect(definitions).toMatchObject({ dids: { length: 6 }, dtcs: { length: 2 } });
  });

  test("is refused without one, cut, or when it would grow too much", () => {
    expect(() => readOdx(zipSync({ "index.xml": strToU8("<CATALOG/>") }))).toThrow(/no .odx file/);
    const whole = zipSync({ "a.odx": strToU8(sampleOdx) });
    expect(() => readOdx(whole.subarray(0, 200))).toThrow(OdxError);
    const bomb = zipSync({ "a.odx": new Uint8Array(33 * 1024 * 1024) });
    expect(bomb.length).toBeLessThan(100_000);
    expect(() => readOdx(bomb)).toThrow(/too large/);
    // Its directory states a smaller size than it has.
    const lying = Buffer.from(zipSync({ "a.odx": strToU8(`<ODX>${" ".repeat(100_000)}</ODX>`) }));
    const directory = lying.indexOf(Buffer.from("504b0102", "hex"));
    lying.writeUInt32LE(10, directory + 24);
    expect(() => readOdx(lying)).toThrow(OdxError);
    const many = Object.fromEntries(
      Array.from({ length: 2_001 }, (_, index) => [`${index}.txt`, new Uint8Array(0)]),
    );
    expect(() => readOdx(zipSync(many))).toThrow(/more than 2000 files/);
  });
});

describe("latticeway catalogue import", () => {
  async function run(...args: string[]): Promise<{ output: string; errors: string }> {
    const output: string[] = [];
    let errors = "";
    const print = vi.spyOn(console, "log").mockImplementation((text: string) => output.push(text));
    const command = catalogueCommand();
    for (const one of [command, ...command.commands]) {
      one.exitOverride().configureOutput({ writeErr: (text) => (errors += text) });
    }
    try {
      await command.parseAsync(args, { from: "user" });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
    } finally {
      print.mockRestore();
    }
    return { output: output.join("\n"), errors };
  }

  test("writes a file that the gateway reads", async () => {
    const folder = await temporaryFolder();
    const odx = join(folder, "engine.odx");
    const out = join(folder, "engine.yaml");
    await writeFile(odx, sampleOdx);
    const { output, errors } = await run("import", odx, "--out", out, "--ecu-type", "engine");
    expect(errors).toBe("");
    expect(output).toContain("6 DIDs, 2 DTCs, 1 routines out of EngineVariant");
    expect(await readFile(out, "utf8")).toContain("did: 0xf190");
    const catalogue = loadCatalogues(dirname(out)).of("engine");
    expect(catalogue.dids.get(0xf190)?.codec.length).toBe(17);
    expect((await run("import", odx, "--out", out)).errors).toMatch(/EEXIST/);
  });

  test("says in one line what it can't read", async () => {
    const folder = await temporaryFolder();
    const odx = join(folder, "engine.odx");
    await writeFile(odx, "<html/>");
    const { errors } = await run("import", odx, "--out", join(folder, "x.yaml"));
    expect(errors).toBe("error: there is no diagnostic layer in it (ODX_INVALID)\n");
    expect((await run("import", join(folder, "none.odx"), "--out", "x")).errors).toMatch(/ENOENT/);
  });
});
