import type {
  CodecDefinition,
  FieldDefinition,
  ScalarDefinition,
} from "#protocol/uds/definition.ts";
import { at, numberAt, textAt, type OdxElement } from "./odx-document.ts";

/** Finds what an element's ID-REF, or SNREF, stands for. */
export type Lookup = (reference: OdxElement | undefined) => OdxElement | undefined;

interface Part {
  /** Byte in the message. */
  position: number;
  field: FieldDefinition;
  length: number | undefined;
}

/** Structures within structures. */
const MAX_DEPTH = 8;
const MAX_RANGE = 256;

/**
 * The fields of a message from byte `start` on; undefined when they can't be told apart, such as
 * those that share a byte.
 */
export function fieldsOf(
  message: OdxElement | undefined,
  start: number,
  find: Lookup,
): FieldDefinition[] | undefined {
  const parts = message && partsOf(message, 0, find, MAX_DEPTH);
  if (parts === undefined) return undefined;
  const fields: FieldDefinition[] = [];
  const names = new Set<string>();
  let next: number | undefined = start;
  const add = (name: string, codec: ScalarDefinition) => {
    const isTaken = names.has(name);
    const own = isTaken ? `${name} ${fields.length + 1}` : name;
    names.add(own);
    fields.push({ name: own, codec });
  };
  for (const { position, field, length } of parts.toSorted((a, b) => a.position - b.position)) {
    if (position < start) continue;
    if (next === undefined || position < next) return undefined;
    if (position > next) add(`reserved ${next}`, { kind: "hex", length: position - next });
    add(field.name, field.codec);
    next = length === undefined ? undefined : position + length;
  }
  return fields.length === 0 ? undefined : fields;
}

/** One field is the value itself. */
export function codecOf(fields: FieldDefinition[] | undefined): CodecDefinition | undefined {
  const [only, ...others] = fields ?? [];
  if (fields === undefined || only === undefined) return undefined;
  return others.length === 0 ? only.codec : { kind: "struct", fields };
}

function partsOf(
  message: OdxElement,
  base: number,
  find: Lookup,
  depth: number,
): Part[] | undefined {
  const parts: Part[] = [];
  let next: number | undefined = base;
  for (const param of at(message, "PARAMS")?.children ?? []) {
    const own = numberAt(param, "BYTE-POSITION");
    const position: number | undefined = own === undefined ? next : base + own;
    if (position === undefined || numberAt(param, "BIT-POSITION")) return undefined;
    const found = partsOfParam(param, position, find, depth);
    if (found === undefined) return undefined;
    parts.push(...found);
    const last = found.at(-1);
    next = last?.length === undefined ? undefined : last.position + last.length;
  }
  return parts;
}

function partsOfParam(
  param: OdxElement,
  position: number,
  find: Lookup,
  depth: number,
): Part[] | undefined {
  const name = (textAt(param, "SHORT-NAME") ?? "value").slice(0, 100);
  const part = (codec: ScalarDefinition): Part[] => [
    { position, field: { name, codec }, length: lengthOf(codec) },
  ];
  const bytes = (length: number | undefined) =>
    length === undefined || !Number.isInteger(length) || length < 1 || length > 4095
      ? undefined
      : part({ kind: "hex", length });
  switch (param.attributes["type"]) {
    case "CODED-CONST":
    case "PHYS-CONST":
    case "NRC-CONST":
      return bytes((numberAt(param, "DIAG-CODED-TYPE", "BIT-LENGTH") ?? 0) / 8);
    case "RESERVED":
      return bytes((numberAt(param, "BIT-LENGTH") ?? 0) / 8);
    case "MATCHING-REQUEST-PARAM":
      return bytes(numberAt(param, "BYTE-LENGTH"));
    default: {
      const dop = find(at(param, "DOP-REF") ?? at(param, "DOP-SNREF"));
      if (dop?.name === "STRUCTURE" && depth > 0) return partsOf(dop, position, find, depth - 1);
      const codec = dop && scalarOf(dop, find);
      return codec && part(codec);
    }
  }
}

function lengthOf(codec: ScalarDefinition): number | undefined {
  if (codec.kind === "enum") return codec.length ?? 1;
  return codec.length;
}

/** A DATA-OBJECT-PROP; what has no form here stays hex as long as its length is known. */
function scalarOf(dop: OdxElement, find: Lookup): ScalarDefinition | undefined {
  const type = at(dop, "DIAG-CODED-TYPE");
  if (type === undefined) return undefined;
  const { "BASE-DATA-TYPE": base = "", "BASE-TYPE-ENCODING": encoding = "" } = type.attributes;
  const bits = numberAt(type, "BIT-LENGTH");
  const minimum = numberAt(type, "MIN-LENGTH");
  const isFixed =
    bits !== undefined || (minimum !== undefined && minimum === numberAt(type, "MAX-LENGTH"));
  const length = isFixed ? (bits === undefined ? minimum : bits / 8) : undefined;
  if (length === undefined) return isEndless(type) ? endless(base) : undefined;
  if (!Number.isInteger(length) || length < 1 || length > 4095) return undefined;
  const raw: ScalarDefinition = { kind: "hex", length };
  if (base === "A_ASCIISTRING" || base === "A_UTF8STRING") return { kind: "ascii", length };
  const isLittle = type.attributes["IS-HIGHLOW-BYTE-ORDER"] === "false" && length > 1;
  if (!["A_UINT32", "A_INT32"].includes(base) || length > 6 || isLittle) return raw;
  if (encoding.startsWith("BCD")) return { kind: "bcd", length };
  const unit = unitOf(dop, find);
  const kind = base === "A_INT32" ? "int" : "uint";
  const method = at(dop, "COMPU-METHOD");
  switch (textAt(method, "CATEGORY")) {
    case undefined:
    case "IDENTICAL":
      return { kind, length, ...unit };
    case "LINEAR": {
      const linear = linearOf(method);
      return linear ? { kind, length, ...linear, ...unit } : raw;
    }
    case "TEXTTABLE": {
      const values = textsOf(method, 256 ** length);
      return values ? { kind: "enum", length, values } : raw;
    }
    default:
      return raw;
  }
}

/** Without a length of its own to the end of the message; one with a length in front is neither. */
function isEndless(type: OdxElement): boolean {
  return (
    type.attributes["type"] === "MIN-MAX-LENGTH-TYPE" && type.attributes["TERMINATION"] !== "ZERO"
  );
}

function endless(base: string): ScalarDefinition {
  return base === "A_ASCIISTRING" || base === "A_UTF8STRING" ? { kind: "ascii" } : { kind: "hex" };
}

function unitOf(dop: OdxElement, find: Lookup): { unit?: string } {
  const unit = find(at(dop, "UNIT-REF"));
  const name = textAt(unit, "DISPLAY-NAME") ?? textAt(unit, "SHORT-NAME");
  return name === undefined ? {} : { unit: name.slice(0, 16) };
}

const scalesOf = (method: OdxElement | undefined) =>
  at(method, "COMPU-INTERNAL-TO-PHYS", "COMPU-SCALES")?.children ?? [];

/** (V0 + V1 × raw) / D0 */
function linearOf(method: OdxElement | undefined): { scale?: number; offset?: number } | undefined {
  const [scales] = scalesOf(method);
  const numbers = (part: string) =>
    (at(scales, "COMPU-RATIONAL-COEFFS", part)?.children ?? []).map(({ text }) => Number(text));
  const [offset = Number.NaN, factor = Number.NaN] = numbers("COMPU-NUMERATOR");
  const [divisor = 1] = numbers("COMPU-DENOMINATOR");
  const linear = { scale: factor / divisor, offset: offset / divisor };
  const isUsable = Number.isFinite(linear.scale) && Number.isFinite(linear.offset);
  if (!isUsable || linear.scale === 0) return undefined;
  return {
    ...(linear.scale !== 1 && { scale: linear.scale }),
    ...(linear.offset !== 0 && { offset: linear.offset }),
  };
}

function textsOf(method: OdxElement | undefined, end: number): Record<string, string> | undefined {
  const words = new Map<string, string>();
  for (const scale of scalesOf(method)) {
    const from = numberAt(scale, "LOWER-LIMIT") ?? numberAt(scale, "UPPER-LIMIT");
    const to = numberAt(scale, "UPPER-LIMIT") ?? from;
    const word = textAt(scale, "COMPU-CONST", "VT");
    if (from === undefined || to === undefined || word === undefined) continue;
    // A wide range says that all else is the same, such as "not available".
    if (!Number.isInteger(from) || from < 0 || to >= end || to - from >= MAX_RANGE) continue;
    for (let raw = from; raw <= to && words.size < 4096; raw++) {
      words.set(String(raw), word.slice(0, 128));
    }
  }
  return words.size === 0 ? undefined : Object.fromEntries(words);
}
