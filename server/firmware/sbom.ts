import { createHash } from "node:crypto";
import { Compile } from "typebox/compile";
import { ProblemError } from "#protocol/api/problem.ts";
import { SbomComponent, SbomHead } from "#protocol/api/sbom.ts";
import { parsePurl } from "./purl.ts";

/** Bytes of one document; those of whole operating systems have few. */
export const MAX_SBOM_BYTES = 8 * 1024 * 1024;
const MAX_COMPONENTS = 20_000;
/** Components within components. */
const MAX_DEPTH = 32;
/** Of anything in the document; signatures and licences are some ten levels deep. */
const MAX_NESTING = 128;
/** An index has no room for longer ones. */
const MAX_PACKAGE = 2000;

/** A document that describes what an image consists of. */
export interface Sbom {
  spec_version: string;
  serial_number: string | null;
  bom_version: number;
  sha256: string;
  components: IndexedComponent[];
}

/** What a component is searched by. */
export interface IndexedComponent {
  name: string;
  version: string | null;
  purl: string | null;
  package: string | null;
  package_version: string | null;
}

/**
 * Reads of a CycloneDX document what it and its components are known by: those of the image, of
 * what it is described as (`metadata.component`), and those that are part of others.
 * @throws ProblemError SBOM_INVALID with the place in the document
 */
export function readSbom(document: Buffer): Sbom {
  const content = parse(document);
  const head = checked(validators.head, content, "");
  const { metadata, components } = content as { metadata?: unknown; components?: unknown };
  const described = (metadata as { component?: unknown } | null | undefined)?.component;
  const found: IndexedComponent[] = [];
  if (described !== undefined) collect([described], "/metadata/component", 1, found);
  collect(components, "/components", 1, found);
  return {
    spec_version: head.specVersion,
    serial_number: head.serialNumber ?? null,
    bom_version: head.version ?? 1,
    sha256: createHash("sha256").update(document).digest("hex"),
    components: found,
  };
}

function parse(document: Buffer): unknown {
  refuseNesting(document);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(document)) as unknown;
  } catch {
    throw invalid("", "is not JSON in UTF-8");
  }
}

/** Before it is parsed: megabytes of brackets alone keep a parser busy for seconds. */
function refuseNesting(document: Buffer): void {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < document.length; at++) {
    const byte = document[at];
    if (byte === 0x22) isText = !isText;
    else if (isText) at += byte === 0x5c ? 1 : 0;
    else if (byte === 0x5b || byte === 0x7b) depth++;
    else if (byte === 0x5d || byte === 0x7d) depth--;
    if (depth > MAX_NESTING) throw invalid("", `is nested deeper than ${MAX_NESTING} levels`);
  }
}

const validators = { head: Compile(SbomHead), component: Compile(SbomComponent) };

function collect(list: unknown, path: string, depth: number, found: IndexedComponent[]): void {
  if (list === undefined) return;
  if (!Array.isArray(list)) throw invalid(path, "is no array");
  if (depth > MAX_DEPTH) throw invalid(path, `is nested deeper than ${MAX_DEPTH}`);
  for (const [index, each] of list.entries()) {
    const place = path === "/metadata/component" ? path : `${path}/${index}`;
    found.push(indexed(checked(validators.component, each, place)));
    if (found.length > MAX_COMPONENTS)
      throw invalid(place, `is one component more than ${MAX_COMPONENTS}`);
    collect((each as { components?: unknown }).components, `${place}/components`, depth + 1, found);
  }
}

function indexed({ name, version, purl }: SbomComponent): IndexedComponent {
  const known = purl === undefined ? undefined : parsePurl(purl);
  const isIndexable = known !== undefined && known.package.length <= MAX_PACKAGE;
  return {
    name,
    version: version ?? null,
    purl: purl ?? null,
    package: isIndexable ? known.package : null,
    package_version: (isIndexable ? known.version : undefined) ?? null,
  };
}

interface Validator<T> {
  Check(value: unknown): value is T;
  Errors(value: unknown): { instancePath: string; message: string }[];
}

function checked<T>(validator: Validator<T>, value: unknown, path: string): T {
  if (validator.Check(value)) {
    refuseUnstorable(value, path);
    return value;
  }
  const [first] = validator.Errors(value);
  throw invalid(`${path}${first?.instancePath ?? ""}`, first?.message ?? "is not valid");
}

/** U+0000 and half surrogate pairs are no database text. */
function refuseUnstorable(value: unknown, path: string): void {
  for (const [name, text] of Object.entries(value as Record<string, unknown>)) {
    if (!["name", "version", "purl"].includes(name) || typeof text !== "string") continue;
    if (text.includes("\0") || !text.isWellFormed())
      throw invalid(`${path}/${name}`, "holds U+0000 or half a surrogate pair");
  }
}

function invalid(path: string, message: string): ProblemError {
  const place = `body${path}`;
  return new ProblemError("SBOM_INVALID", `${place} ${message}`, [{ path: place, message }]);
}
