import { readFileSync } from "node:fs";
import { Compile } from "typebox/compile";
import type { Static, TObject, TSchema } from "typebox";
import { parse, YAMLParseError } from "yaml";

/**
 * A configuration that can't be used. Each problem names the key, what it got, what it accepts; what
 * a `writeOnly` key got is a secret and stays out.
 */
export class ConfigError extends Error {
  readonly code = "CONFIG_INVALID";
  readonly problems: readonly string[];

  constructor(source: string, problems: string[]) {
    super(`${source}:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

export interface ConfigSource<Schema extends TObject> {
  schema: Schema;
  /** YAML file with every key. */
  file: string;
  /** Overrides are named `{prefix}_{KEY}_{KEY}`: `LATTICEWAY_HTTPS_PORT` sets `https.port`. */
  prefix: string;
  /** Environment names outside the rule: `{ DATABASE_URL: "database.url" }`. */
  aliases?: Record<string, string>;
  /** Environment names with the prefix that are not overrides. */
  reserved?: readonly string[];
  env?: NodeJS.ProcessEnv;
}

/**
 * Reads, overrides, validates and freezes a configuration. Overrides are read as YAML, so that
 * `LATTICEWAY_TLS_PROFILES="[0, 2]"` is a list; an empty override counts as absent.
 * @throws ConfigError naming every bad key at once
 */
export function loadConfig<Schema extends TObject>(source: ConfigSource<Schema>): Static<Schema> {
  const tree = readYaml(source.file);
  const problems = override(tree, source);
  const validator = Compile(source.schema);
  if (!validator.Check(tree)) {
    for (const error of validator.Errors(tree)) {
      // An unknown key is reported twice: as such, and as a value that nothing fits.
      if (error.keyword !== "boolean") problems.push(...describe(error, tree, source.schema));
    }
  }
  if (problems.length > 0) throw new ConfigError(source.file, [...new Set(problems)]);
  return deepFreeze(tree) as Static<Schema>;
}

function readYaml(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError(file, [`can't be read: ${(error as Error).message}`]);
  }
  try {
    return (parse(text) ?? {}) as Record<string, unknown>;
  } catch (error) {
    throw new ConfigError(file, [`is not YAML: ${yamlProblem(error)}`]);
  }
}

/** What and where; the parser's own message quotes the file, and the line may hold a secret. */
function yamlProblem(error: unknown): string {
  if (!(error instanceof YAMLParseError)) return "an alias stands for nothing";
  const [at] = error.linePos ?? [];
  const what = error.code.toLowerCase().replaceAll("_", " ");
  return at ? `${what} at line ${at.line}, column ${at.col}` : what;
}

/** Applies the environment to `tree`; returns what was wrong with it. */
function override<Schema extends TObject>(
  tree: Record<string, unknown>,
  { schema, prefix, aliases = {}, reserved = [], env = process.env }: ConfigSource<Schema>,
): string[] {
  const paths = new Map(
    leafPaths(schema).map((path) => [`${prefix}_${path.join("_").toUpperCase()}`, path]),
  );
  for (const [name, key] of Object.entries(aliases)) paths.set(name, key.split("."));
  const problems: string[] = [];
  for (const [name, text] of Object.entries(env)) {
    const path = paths.get(name);
    if (path !== undefined && text) {
      // A secret is what it is to the letter: `1234` is no number, and `a: b` no list.
      const at: Annotated | undefined = schemaAt(schema, path);
      const isText = at?.writeOnly === true && at.type === "string";
      setPath(tree, path, isText ? text : readValue(text));
    }
    if (path === undefined && name.startsWith(`${prefix}_`) && !reserved.includes(name)) {
      problems.push(`${name}: no such setting; see the keys of the file`);
    }
  }
  return problems;
}

/** Paths of everything that is not itself an object with known keys. */
function leafPaths(schema: TSchema, path: string[] = []): string[][] {
  const properties = (schema as Partial<TObject>).properties;
  if (properties === undefined) return [path];
  return Object.entries(properties).flatMap(([key, child]) => leafPaths(child, [...path, key]));
}

function readValue(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch {
    return text;
  }
}

function setPath(tree: Record<string, unknown>, path: string[], value: unknown): void {
  const [key = "", ...rest] = path;
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  const child = tree[key];
  const next =
    typeof child === "object" && child !== null ? (child as Record<string, unknown>) : {};
  tree[key] = next;
  setPath(next, rest, value);
}

interface SchemaError {
  keyword: string;
  instancePath: string;
  schemaPath: string;
  params: object;
  message: string;
}

function describe(error: SchemaError, tree: unknown, schema: TSchema): string[] {
  const path = error.instancePath.split("/").slice(1);
  const at: Annotated | undefined = schemaAt(schema, path);
  const accepts = at?.description ? ` (accepts ${at.description})` : "";
  const params = error.params as { requiredProperties?: string[]; additionalProperties?: string[] };
  if (params.requiredProperties) {
    return params.requiredProperties.map((key) => `${[...path, key].join(".")}: is missing`);
  }
  if (params.additionalProperties) {
    return params.additionalProperties.map(
      (key) => `${[...path, key].join(".")}: no such key${accepts}`,
    );
  }
  const got = path.reduce<unknown>(
    (at, key) => (at as Record<string, unknown> | undefined)?.[key],
    tree,
  );
  const shown = at && holdsSecret(at) ? "(hidden)" : JSON.stringify(got);
  return [`${path.join(".")}: got ${shown}, ${error.message}${accepts}`];
}

interface Annotated {
  type?: string;
  description?: string;
  writeOnly?: boolean;
  properties?: Record<string, Annotated>;
}

/** Is it a secret, or a group with one in it? */
function holdsSecret({ writeOnly = false, properties = {} }: Annotated): boolean {
  return writeOnly || Object.values(properties).some((child) => holdsSecret(child));
}

function schemaAt(schema: TSchema, path: string[]): TSchema | undefined {
  return path.reduce<TSchema | undefined>((at, key) => {
    const { properties, items } = (at ?? {}) as {
      properties?: Record<string, TSchema>;
      items?: TSchema;
    };
    return properties?.[key] ?? items ?? at;
  }, schema);
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) deepFreeze(child);
  }
  return value;
}
