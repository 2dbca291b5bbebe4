import { readFile, stat, writeFile } from "node:fs/promises";
import { Command } from "commander";
import { Compile } from "typebox/compile";
import { Document, isMap, isScalar, visit } from "yaml";
import { buildCatalogues } from "#protocol/uds/catalogue.ts";
import { DefinitionFile } from "#protocol/uds/definition.ts";
import { withExamples } from "./answering.ts";
import { importOdx } from "./odx-import.ts";
import { OdxError, readOdx } from "./odx-document.ts";
import { reporting } from "./reporting.ts";

const MAX_FILE_BYTES = 64 * 1024 * 1024;
const SHOWN_NOTES = 20;

interface Options {
  out: string;
  ecuType?: string;
  layer?: string;
}

/** `latticeway catalogue …` */
export function catalogueCommand(): Command {
  return new Command("catalogue")
    .description("The diagnostic catalogue: what DIDs, DTCs and routines mean")
    .addCommand(importCommand());
}

function importCommand(): Command {
  const command = new Command("import")
    .description("Make a file of the catalogue out of ODX (ISO 22901-1): DIDs, DTCs, routines")
    .argument("<file>", "an .odx or a .pdx file")
    .requiredOption("--out <file>", "the YAML file to write; one that is there is not replaced")
    .option("--ecu-type <type>", "the type of ECU that it is about; without it, all types")
    .option("--layer <name>", "only the diagnostic layer of this short name");
  return withExamples(command, [
    "latticeway catalogue import brake.pdx --out config/catalogue/brake.yaml",
  ]).action(async (file: string, options: Options, command: Command) => {
    await reporting(command, async () => importFile(file, options));
  });
}

async function importFile(file: string, { out, ecuType, layer }: Options): Promise<string> {
  const { size } = await stat(file);
  if (size > MAX_FILE_BYTES) throw new OdxError(`${file} is over 64 MiB`);
  const { definitions, layers, notes } = importOdx(readOdx(await readFile(file)), {
    ecuType,
    layer,
  });
  const [problem] = Compile(DefinitionFile).Errors(definitions);
  if (problem) throw new OdxError(`${problem.instancePath} can't be said: ${problem.message}`);
  buildCatalogues([{ definitions }]);
  await writeFile(out, asYaml(definitions), { flag: "wx" });
  const { dids = [], dtcs = [], rids = [] } = definitions;
  const more = notes.length - SHOWN_NOTES;
  return [
    `${out}: ${dids.length} DIDs, ${dtcs.length} DTCs, ${rids.length} routines out of ${layers.join(", ")}`,
    ...notes.slice(0, SHOWN_NOTES),
    ...(more > 0 ? [`and ${more} notes more`] : []),
  ].join("\n");
}

/** Identifiers in hex, each codec on one line. */
function asYaml(definitions: DefinitionFile): string {
  const document = new Document(definitions);
  visit(document, {
    Pair(_, { key, value }) {
      const isIdentifier = isScalar(key) && (key.value === "did" || key.value === "rid");
      if (isIdentifier && isScalar(value)) value.format = "HEX";
    },
    Map(_, map) {
      if (isMap(map) && map.has("kind") && map.get("kind") !== "struct") map.flow = true;
    },
  });
  return document.toString({ lineWidth: 100 });
}
