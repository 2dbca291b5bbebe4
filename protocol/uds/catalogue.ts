import type {
  CodecDefinition,
  DefinitionFile,
  DtcDefinition,
  ExtendedDataDefinition,
} from "./definition.ts";
import { didEntry, didTable, type DidEntry } from "./did.ts";
import { compileCodec, type DidCodec } from "./did-codec.ts";
import { dtcTable, dtcText } from "./dtc.ts";
import { ridEntry, ridTable, type RidEntry } from "./rid.ts";

/** What the identifiers, trouble codes and routines of one type of ECU mean. */
export interface Catalogue {
  readonly dids: ReadonlyMap<number, DidEntry>;
  /** By code, with its failure type or without. */
  readonly dtcs: ReadonlyMap<string, DtcDefinition>;
  readonly rids: ReadonlyMap<number, RidEntry>;
  /** Extended data records (19 06) by number. */
  readonly extendedData: ReadonlyMap<number, ExtendedDataEntry>;
  /** Names of security levels (27) by their odd sub-function. */
  readonly securityLevels: ReadonlyMap<number, string>;
}

export interface ExtendedDataEntry {
  name: string;
  codec: DidCodec;
  definition: ExtendedDataDefinition;
}

/** Catalogues of a fleet, by type of ECU. */
export interface Catalogues {
  /** The catalogue of a type; of one that has none of its own, or of none, the general one. */
  of(ecuType: string | undefined): Catalogue;
  /** The types with definitions of their own. */
  readonly ecuTypes: readonly string[];
}

/** What the standards and this project's own flow define. */
export const standardCatalogue: Catalogue = {
  dids: new Map(didTable.map((entry) => [entry.did, entry])),
  dtcs: new Map(dtcTable.map((entry) => [entry.code, entry])),
  rids: new Map(ridTable.map((entry) => [entry.rid, entry])),
  extendedData: new Map(),
  securityLevels: new Map(),
};

/** Where something stands in a file: `["dids", 3]`. */
export type DefinitionPath = readonly (string | number)[];

export interface SourcedDefinitions {
  definitions: DefinitionFile;
  /** Names a place in the file. */
  where?: (path: DefinitionPath) => string;
}

/**
 * Catalogues out of definition files. What a file says of an ECU type stands before what is said of
 * all, and that before the standard.
 * @throws CatalogueError naming every contradiction at once
 */
export function buildCatalogues(files: readonly SourcedDefinitions[]): Catalogues {
  const problems: string[] = [];
  const scopes = new Map<string | undefined, OwnDefinitions>();
  for (const { definitions, where = (path: DefinitionPath) => path.join(".") } of files) {
    const own = scopes.get(definitions.ecu_type) ?? noDefinitions();
    scopes.set(definitions.ecu_type, own);
    problems.push(...collect(own, definitions, where));
  }
  if (problems.length > 0) throw new CatalogueError(problems);
  const general = layered(standardCatalogue, scopes.get(undefined) ?? noDefinitions());
  scopes.delete(undefined);
  const byType = new Map<string | undefined, Catalogue>(
    [...scopes].map(([type, own]) => [type, layered(general, own)]),
  );
  return {
    of: (ecuType) => byType.get(ecuType) ?? general,
    ecuTypes: [...byType.keys()].filter((type) => type !== undefined).sort(),
  };
}

/** More are not listed at once. */
const MAX_PROBLEMS = 50;

/** Definitions that can't be used; each problem names its place. */
export class CatalogueError extends Error {
  readonly code = "CATALOGUE_INVALID";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const more = problems.length - MAX_PROBLEMS;
    const shown = [...problems.slice(0, MAX_PROBLEMS), ...(more > 0 ? [`and ${more} more`] : [])];
    super(`the catalogue can't be used:\n${shown.map((problem) => `  ${problem}`).join("\n")}`);
    this.name = "CatalogueError";
    this.problems = problems;
  }
}

/** The meaning of a trouble code; one with its failure type stands before one without. */
export function findDtc({ dtcs }: Catalogue, dtc: number): DtcDefinition | undefined {
  const code = dtcText(dtc);
  return dtcs.get(code) ?? dtcs.get(code.slice(0, 5));
}

interface OwnDefinitions {
  dids: Map<number, DidEntry>;
  dtcs: Map<string, DtcDefinition>;
  rids: Map<number, RidEntry>;
  extendedData: Map<number, ExtendedDataEntry>;
  securityLevels: Map<number, string>;
  /** Where each of them stands, by list and key. */
  places: Map<string, string>;
}

const noDefinitions = (): OwnDefinitions => ({
  dids: new Map(),
  dtcs: new Map(),
  rids: new Map(),
  extendedData: new Map(),
  securityLevels: new Map(),
  places: new Map(),
});

/** Adds a file's definitions. @returns what is wrong with them, each with its place */
function collect(
  own: OwnDefinitions,
  file: DefinitionFile,
  where: (path: DefinitionPath) => string,
): string[] {
  const problems: string[] = [];
  const { dids = [], dtcs = [], rids = [], extended_data = [], security_levels = [] } = file;
  const add = <Key, Definition, Entry>(
    list: string,
    into: Map<Key, Entry>,
    definitions: readonly Definition[],
    keyOf: (definition: Definition) => Key,
    compile: (definition: Definition) => Entry,
  ) => {
    for (const [index, definition] of definitions.entries()) {
      const place = where([list, index]);
      try {
        const key = keyOf(definition);
        const earlier = own.places.get(`${list} ${String(key)}`);
        if (earlier !== undefined) throw new RangeError(`is defined already, ${earlier}`);
        into.set(key, compile(definition));
        own.places.set(`${list} ${String(key)}`, place);
      } catch (error) {
        problems.push(`${place}: ${(error as Error).message}`);
      }
    }
  };
  add("dids", own.dids, dids, ({ did }) => did, didEntry);
  add(
    "dtcs",
    own.dtcs,
    dtcs,
    ({ code }) => code,
    (dtc) => dtc,
  );
  add("rids", own.rids, rids, ({ rid }) => rid, ridEntry);
  add("extended_data", own.extendedData, extended_data, ({ record }) => record, extendedDataEntry);
  add("security_levels", own.securityLevels, security_levels, levelOf, ({ name }) => name);
  return problems;
}

function extendedDataEntry(definition: ExtendedDataDefinition): ExtendedDataEntry {
  const codec: CodecDefinition = definition.codec;
  return { name: definition.name, codec: compileCodec(codec), definition };
}

/** @throws RangeError */
function levelOf({ level }: { level: number }): number {
  if (level % 2 === 0) throw new RangeError("a level has the odd number of its requestSeed");
  return level;
}

function layered(base: Catalogue, own: OwnDefinitions): Catalogue {
  return {
    dids: new Map([...base.dids, ...own.dids]),
    dtcs: new Map([...base.dtcs, ...own.dtcs]),
    rids: new Map([...base.rids, ...own.rids]),
    extendedData: new Map([...base.extendedData, ...own.extendedData]),
    securityLevels: new Map([...base.securityLevels, ...own.securityLevels]),
  };
}
