import { existsSync } from "node:fs";
import { join } from "node:path";
import type { CodecDefinition } from "#protocol/uds/definition.ts";
import { Did } from "#protocol/uds/did.ts";
import { compileCodec, type DidCodec } from "#protocol/uds/did-codec.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { EcuDefinition, type Access, type Content, type EcuDid } from "./ecu-definition.ts";
import { ConfigError, loadConfig } from "./load.ts";

/** What every simulated ECU answers by itself. */
const builtInDids: readonly number[] = Object.values(Did);
const builtInRids: readonly number[] = Object.values(Rid);

/**
 * The definitions of those ECU types that have one: `{folder}/{ecu_type}.yaml`.
 * @throws ConfigError naming every bad key at once
 */
export function loadEcuDefinitions(
  folder: string,
  types: Iterable<string>,
): Readonly<Record<string, EcuDefinition>> {
  const definitions: Record<string, EcuDefinition> = {};
  for (const type of new Set(types)) {
    const file = join(folder, `${type}.yaml`);
    if (existsSync(file)) definitions[type] = loadEcuDefinition(file, type);
  }
  return definitions;
}

function loadEcuDefinition(file: string, type: string): EcuDefinition {
  const definition = loadConfig({ schema: EcuDefinition, file, prefix: "", env: {} });
  const problems = definitionProblems(definition);
  if (definition.ecu_type !== type) {
    problems.unshift(`ecu_type: got "${definition.ecu_type}", the file is that of ${type}`);
  }
  if (problems.length > 0) throw new ConfigError(file, problems);
  return definition;
}

/** What the schema can't say: values that fit their codec, references, and ids that are unique. */
function definitionProblems(definition: EcuDefinition): string[] {
  const { dids, dtcs, rids, controls, memory, security_levels } = definition;
  const levels = security_levels.map(({ level }) => level);
  return [
    ...repeated(
      "dids",
      dids.map(({ did }) => hexId(did)),
    ),
    ...repeated(
      "dids",
      dids.map(({ name }) => name),
    ),
    ...repeated(
      "dtcs",
      dtcs.map(({ code }) => code),
    ),
    ...repeated(
      "rids",
      rids.map(({ rid }) => hexId(rid)),
    ),
    ...repeated(
      "controls",
      controls.map(({ did }) => hexId(did)),
    ),
    ...repeated("security_levels", levels.map(String)),
    ...dids
      .filter(({ did }) => builtInDids.includes(did))
      .map(({ did }) => `dids: ${hexId(did)} is built in`),
    ...rids
      .filter(({ rid }) => builtInRids.includes(rid))
      .map(({ rid }) => `rids: ${hexId(rid)} is built in`),
    ...levels
      .filter((level) => level % 2 === 0)
      .map((level) => `security_levels: ${level} is even`),
    ...dids.flatMap((did) =>
      didProblems(did).map((problem) => `dids ${hexId(did.did)}: ${problem}`),
    ),
    ...controls.flatMap(({ did }) => controlProblems(did, dids)),
    ...overlaps(definition),
    ...unknownLevels(definition, levels),
    ...memory
      .filter(({ content }) => content === "")
      .map(({ name }) => `memory ${name}: content is empty`),
  ];
}

function repeated(key: string, values: readonly string[]): string[] {
  const twice = new Set(values.filter((value, at) => values.indexOf(value) !== at));
  return [...twice].map((value) => `${key}: ${value} appears more than once`);
}

/** Each part of the record has a value that fits its codec. */
function didProblems({ codec = { kind: "hex" }, fields, ...content }: EcuDid): string[] {
  let compiled: DidCodec;
  try {
    compiled = compileCodec(codec);
  } catch (error) {
    return [`codec: ${(error as Error).message}`];
  }
  if (compiled.fields === undefined) {
    return fields === undefined
      ? contentProblems(content, compiled)
      : ["fields belong to a struct"];
  }
  if (content.value !== undefined || content.signal !== undefined) return ["a struct has fields"];
  const known = compiled.fields.map(({ name }) => name);
  return [
    ...Object.keys(fields ?? {})
      .filter((name) => !known.includes(name))
      .map((name) => `fields.${name}: the struct has no such field`),
    ...compiled.fields.flatMap((field) =>
      contentProblems(fields?.[field.name] ?? {}, field.codec).map(
        (problem) => `fields.${field.name}: ${problem}`,
      ),
    ),
  ];
}

function contentProblems({ value, signal }: Content, codec: DidCodec): string[] {
  if ((value === undefined) === (signal === undefined)) return ["needs a value or a signal"];
  const values = signal === undefined ? [value ?? ""] : [signal.from, signal.to];
  return values.flatMap((each) => {
    try {
      codec.encode(each);
      return [];
    } catch (error) {
      return [`got ${JSON.stringify(each)}: ${(error as Error).message}`];
    }
  });
}

/** A controlled record is cut into its parts, so each of them has a length. */
function controlProblems(did: number, dids: readonly EcuDid[]): string[] {
  const controlled = dids.find((each) => each.did === did);
  if (controlled === undefined) return [`controls: ${hexId(did)} is none of the dids`];
  const { codec } = controlled;
  return codec === undefined || didProblems(controlled).length > 0 || isOpen(codec)
    ? [`controls: ${hexId(did)} has no fixed length`]
    : [];
}

function isOpen(codec: CodecDefinition): boolean {
  return compileCodec(codec).length === undefined;
}

function overlaps({ memory }: EcuDefinition): string[] {
  const sorted = memory.toSorted((a, b) => a.address - b.address);
  return sorted.flatMap((region, at) => {
    const next = sorted[at + 1];
    return next !== undefined && region.address + region.length > next.address
      ? [`memory: ${region.name} reaches into ${next.name}`]
      : [];
  });
}

function unknownLevels(definition: EcuDefinition, levels: readonly number[]): string[] {
  const { dids, rids, controls, memory } = definition;
  const named: [string, Access | undefined][] = [
    ...dids.flatMap((did): [string, Access | undefined][] => [
      [`dids ${hexId(did.did)}`, did.read],
      [`dids ${hexId(did.did)}`, did.write],
    ]),
    ...rids.map(({ rid, access }): [string, Access | undefined] => [`rids ${hexId(rid)}`, access]),
    ...controls.map(({ did, access }): [string, Access | undefined] => [
      `controls ${hexId(did)}`,
      access,
    ]),
    ...memory.flatMap(({ name, read, write, upload }) =>
      [read, write, upload].map((access): [string, Access | undefined] => [
        `memory ${name}`,
        access,
      ]),
    ),
  ];
  return named.flatMap(([what, access]) =>
    access?.level !== undefined && !levels.includes(access.level)
      ? [`${what}: level ${access.level} is none of the security_levels`]
      : [],
  );
}

function hexId(id: number): string {
  return `0x${id.toString(16).toUpperCase().padStart(4, "0")}`;
}
