import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { LineCounter, parseDocument, type Document, type Node } from "yaml";
import {
  buildCatalogues,
  CatalogueError,
  type Catalogues,
  type DefinitionPath,
  type SourcedDefinitions,
} from "#protocol/uds/catalogue.ts";
import { codecSchemas, DefinitionFile } from "#protocol/uds/definition.ts";

const MAX_FILES = 1000;
/** Some 20,000 definitions. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** The catalogue that is shipped: of the simulated vehicle's ECUs. */
const shippedFolder = join(import.meta.dirname, "catalogue");

/**
 * Reads the definition files (`*.yaml`) of a folder; of the one that is shipped when it is empty.
 * @throws CatalogueError naming every problem by file and line
 */
export function loadCatalogues(folder: string): Catalogues {
  const problems: string[] = [];
  const files: SourcedDefinitions[] = [];
  for (const file of definitionFiles(folder || shippedFolder)) {
    try {
      files.push(readDefinitions(file));
    } catch (error) {
      if (!(error instanceof CatalogueError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new CatalogueError(problems);
  return buildCatalogues(files);
}

function definitionFiles(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    throw new CatalogueError([`${folder}: can't be read: ${(error as Error).message}`]);
  }
  const files = names.filter((name) => /\.ya?ml$/.test(name)).sort();
  if (files.length > MAX_FILES) {
    throw new CatalogueError([`${folder}: ${files.length} files, at most ${MAX_FILES} are read`]);
  }
  return files.map((name) => join(folder, name));
}

function readDefinitions(file: string): SourcedDefinitions {
  const counter = new LineCounter();
  const document = parseDocument(readText(file), { lineCounter: counter });
  const where = (path: DefinitionPath) =>
    `${file}:${lineOf(document, path, counter)}${path.length > 0 ? `: ${path.join(".")}` : ""}`;
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ linePos, code }) => {
      const line = linePos?.[0].line ?? 1;
      return `${file}:${line}: is not YAML: ${code.toLowerCase().replaceAll("_", " ")}`;
    });
    throw new CatalogueError([...new Set(problems)]);
  }
  const definitions = valueOf(document, file);
  const problems = fileProblems(definitions, where);
  if (problems.length > 0) throw new CatalogueError(problems);
  return { definitions: definitions as DefinitionFile, where };
}

function readText(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > MAX_FILE_BYTES) {
      throw new CatalogueError([`${file}: ${size} bytes, at most ${MAX_FILE_BYTES} are read`]);
    }
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof CatalogueError) throw error;
    throw new CatalogueError([`${file}: can't be read: ${(error as Error).message}`]);
  }
}

/** An empty file defines nothing. Aliases are counted by the parser: they can't grow a file. */
function valueOf(document: Document, file: string): unknown {
  try {
    return (document.toJS() as unknown) ?? {};
  } catch (error) {
    throw new CatalogueError([`${file}: ${(error as Error).message}`]);
  }
}

/** The line on which a value stands, or the nearest thing around it. */
function lineOf(document: Document, path: DefinitionPath, counter: LineCounter): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as Node | undefined;
    const start = node?.range?.[0];
    if (start !== undefined) return counter.linePos(start).line;
  }
  return 1;
}

type Where = (path: DefinitionPath) => string;

/** The validator stops after a few errors, so each definition is looked at by itself. */
function fileProblems(value: unknown, where: Where): string[] {
  if (Compile(DefinitionFile).Check(value)) return [];
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  const lists = Object.entries(DefinitionFile.properties).flatMap(([key, property]) => {
    const list = entries.find(([name]) => name === key)?.[1] as unknown;
    const items = "items" in property ? property.items : undefined;
    return items !== undefined && Array.isArray(list) ? [{ key, items, list }] : [];
  });
  const outline = Object.fromEntries([...entries, ...lists.map(({ key }) => [key, []])]);
  const problems = [
    ...schemaProblems(DefinitionFile, entries.length > 0 ? outline : value, [], where),
    ...lists.flatMap(({ key, items, list }) => {
      const validator = Compile(items);
      return list.flatMap((item: unknown, index) =>
        validator.Check(item) ? [] : schemaProblems(items, item, [key, index], where),
      );
    }),
  ];
  return problems.length > 0 ? problems : schemaProblems(DefinitionFile, value, [], where);
}

/** A codec is one of several schemas; what is said of it is by the one that its kind names. */
function schemaProblems(
  schema: TSchema,
  value: unknown,
  base: DefinitionPath,
  where: Where,
): string[] {
  const problems = new Set<string>();
  const codecs = new Map<string, DefinitionPath>();
  for (const error of Compile(schema).Errors(value)) {
    const path = error.instancePath
      .split("/")
      .slice(1)
      .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
    const codec = path.indexOf("codec");
    if (codec !== -1) {
      const own = path.slice(0, codec + 1);
      codecs.set(own.join("/"), own);
    } else if (error.keyword !== "boolean") {
      problems.add(`${where([...base, ...path])}: ${said(error)}`);
    }
  }
  for (const path of codecs.values()) {
    const codec = path.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], value);
    const { kind } = (codec ?? {}) as { kind?: unknown };
    const place = [...base, ...path];
    const own = Object.entries(codecSchemas).find(([name]) => name === kind)?.[1];
    const found = own
      ? schemaProblems(own, codec, place, where)
      : [`${where(place)}: kind is one of ${Object.keys(codecSchemas).join(", ")}`];
    for (const problem of found) problems.add(problem);
  }
  return [...problems];
}

function said(error: { message: string; params: object }): string {
  const { additionalProperties, requiredProperties } = error.params as {
    additionalProperties?: string[];
    requiredProperties?: string[];
  };
  if (additionalProperties) return `no such key: ${additionalProperties.join(", ")}`;
  return requiredProperties ? `${requiredProperties.join(", ")} is missing` : error.message;
}
