import type { CodecDefinition, FieldDefinition, ScalarDefinition } from "./definition.ts";

/** A record's value as operators read it: of set bits their names, of a structure its fields. */
export type DidValue = string | number | readonly string[] | { readonly [field: string]: DidValue };

/** The bytes of one value: encode beside decode. */
export interface DidCodec {
  /** Fixed length in bytes; absent when any length will do. */
  length?: number;
  /** The physical unit of the value. */
  unit?: string;
  /** The parts of a structure. */
  fields?: readonly DidField[];
  /** @returns undefined for bytes that do not fit. */
  decode(record: Uint8Array): DidValue | undefined;
  /** @throws RangeError for a value that does not fit. */
  encode(value: DidValue): Uint8Array;
}

export interface DidField {
  name: string;
  codec: DidCodec;
}

/**
 * The codec that a definition describes.
 * @throws RangeError for a definition that contradicts itself
 */
export function compileCodec(definition: CodecDefinition): DidCodec {
  return definition.kind === "struct"
    ? structure(compileFields(definition.fields))
    : scalar(definition);
}

/** @throws RangeError as {@link compileCodec} does, with the name of the field */
export function compileFields(fields: readonly FieldDefinition[]): DidField[] {
  const names = new Set<string>();
  return fields.map(({ name, codec: definition }, index) => {
    const codec = scalar(definition);
    if (names.has(name)) throw new RangeError(`there are two fields ${name}`);
    names.add(name);
    if (codec.length === undefined && index < fields.length - 1) {
      throw new RangeError(`field ${name} needs a length, others follow it`);
    }
    return { name, codec };
  });
}

function scalar(definition: ScalarDefinition): DidCodec {
  switch (definition.kind) {
    case "ascii":
      return text(definition.length);
    case "uint":
      return integer(definition, false);
    case "int":
      return integer(definition, true);
    case "enum":
      return choice(definition.values, definition.length ?? 1);
    case "bits":
      return flags(definition.bits, definition.length);
    case "bcd":
      return digits(definition.length);
    case "date":
      return date(definition.length ?? 4);
    default:
      return hex(definition.length);
  }
}

/** @throws RangeError for lists and fields, which no single value has */
function written(value: DidValue): string {
  if (typeof value === "object") throw new RangeError("a single value");
  return String(value);
}

/** Printable text; trailing NULs and blanks are padding. */
function text(length?: number): DidCodec {
  return {
    ...(length !== undefined && { length }),
    decode(record) {
      if (length !== undefined && record.length !== length) return undefined;
      const value = Buffer.from(record)
        .toString("latin1")
        .replace(/[\0 ]+$/, "");
      return /^[\x20-\x7e]*$/.test(value) ? value : undefined;
    },
    encode(value) {
      const bytes = Buffer.from(written(value), "latin1");
      if (length === undefined) return bytes;
      if (bytes.length > length) throw new RangeError(`at most ${length} characters`);
      return Buffer.concat([bytes, Buffer.alloc(length - bytes.length, 0x20)]);
    },
  };
}

type NumberDefinition = Extract<ScalarDefinition, { kind: "uint" | "int" }>;

function integer(
  { length, scale = 1, offset = 0, unit }: NumberDefinition,
  signed: boolean,
): DidCodec {
  if (scale === 0) throw new RangeError("a scale of 0 leaves no value");
  const isScaled = scale !== 1 || offset !== 0;
  return {
    length,
    ...(unit !== undefined && { unit }),
    decode(record) {
      if (record.length !== length) return undefined;
      const bytes = Buffer.from(record);
      const raw = signed ? bytes.readIntBE(0, length) : bytes.readUIntBE(0, length);
      const value = isScaled ? Number((raw * scale + offset).toPrecision(12)) : raw;
      return Number.isFinite(value) ? value : undefined;
    },
    encode(value) {
      const raw = Math.round((Number(value) - offset) / scale);
      if (!Number.isFinite(raw)) throw new RangeError(`${written(value)} is no number`);
      const bytes = Buffer.alloc(length);
      if (signed) bytes.writeIntBE(raw, 0, length);
      else bytes.writeUIntBE(raw, 0, length);
      return bytes;
    },
  };
}

/** A number that stands for a word; one without a word stays a number. */
function choice(words: Readonly<Record<string, string>>, length: number): DidCodec {
  const byNumber = new Map(Object.entries(words).map(([key, word]) => [Number(key), word]));
  const highest = Math.max(...byNumber.keys());
  if (highest >= 256 ** length) throw new RangeError(`${highest} has more than ${length} bytes`);
  return {
    length,
    decode(record) {
      if (record.length !== length) return undefined;
      const raw = Buffer.from(record).readUIntBE(0, length);
      return byNumber.get(raw) ?? raw;
    },
    encode(value) {
      const found = [...byNumber].find(([, word]) => word === value);
      const raw = found === undefined ? Number(value) : found[0];
      if (!Number.isInteger(raw)) throw new RangeError(`${written(value)} is none of the words`);
      const bytes = Buffer.alloc(length);
      bytes.writeUIntBE(raw, 0, length);
      return bytes;
    },
  };
}

/** The names of the bits that are set, from bit 0 up; a set bit without a name is `bit N`. */
function flags(names: Readonly<Record<string, string>>, length: number): DidCodec {
  const numbers = new Map(Object.entries(names).map(([key, name]) => [name, Number(key)]));
  const highest = Math.max(...numbers.values());
  if (highest >= 8 * length) throw new RangeError(`bit ${highest} is not in ${length} bytes`);
  const isSet = (record: Uint8Array, bit: number) =>
    ((record[length - 1 - (bit >> 3)] ?? 0) & (1 << (bit & 7))) !== 0;
  return {
    length,
    decode(record) {
      if (record.length !== length) return undefined;
      return Array.from({ length: 8 * length }, (_, bit) => bit)
        .filter((bit) => isSet(record, bit))
        .map((bit) => names[bit] ?? `bit ${bit}`);
    },
    encode(value) {
      if (!Array.isArray(value)) throw new RangeError("a list of names");
      const bytes = Buffer.alloc(length);
      for (const name of value as readonly string[]) {
        const bit = numbers.get(name);
        if (bit === undefined) throw new RangeError(`${name} is none of the bits`);
        const at = length - 1 - (bit >> 3);
        bytes[at] = (bytes[at] ?? 0) | (1 << (bit & 7));
      }
      return bytes;
    },
  };
}

/** Decimal digits, two a byte. */
function digits(length?: number): DidCodec {
  return {
    ...(length !== undefined && { length }),
    decode(record) {
      if (length !== undefined && record.length !== length) return undefined;
      const value = Buffer.from(record).toString("hex");
      return /^\d*$/.test(value) ? value : undefined;
    },
    encode(value) {
      const wanted = length === undefined ? undefined : 2 * length;
      const shown = written(value).padStart(wanted ?? 0, "0");
      if (!/^(\d\d)*$/.test(shown) || shown.length > (wanted ?? shown.length)) {
        throw new RangeError("decimal digits, two a byte");
      }
      return Buffer.from(shown, "hex");
    },
  };
}

const DATE = /^(\d{2})(\d{2})-(\d{2})-(\d{2})$/;

/** `YYYYMMDD` or, in this century, `YYMMDD` in BCD, read as an ISO 8601 date. */
function date(length: 3 | 4): DidCodec {
  return {
    length,
    decode(record) {
      if (record.length !== length) return undefined;
      const value = Buffer.from(record).toString("hex").padStart(8, "20");
      if (!/^\d{8}$/.test(value)) return undefined;
      return `${value.slice(0, 4)}-${value.slice(4, 6)}-${value.slice(6)}`;
    },
    encode(value) {
      const parts = DATE.exec(written(value));
      if (parts === null || (length === 3 && parts[1] !== "20")) {
        throw new RangeError("a date as YYYY-MM-DD");
      }
      return Buffer.from(parts.slice(length === 3 ? 2 : 1).join(""), "hex");
    },
  };
}

function hex(length?: number): DidCodec {
  return {
    ...(length !== undefined && { length }),
    decode(record) {
      if (length !== undefined && record.length !== length) return undefined;
      return Buffer.from(record).toString("hex").toUpperCase();
    },
    encode(value) {
      const text = written(value);
      const bytes = Buffer.from(text, "hex");
      if (2 * bytes.length !== text.length || bytes.length !== (length ?? bytes.length)) {
        throw new RangeError("whole bytes in hex");
      }
      return bytes;
    },
  };
}

/** Fields one behind the other; one that does not fit its codec stays hex. */
function structure(fields: readonly DidField[]): DidCodec {
  const lengths = fields.map(({ codec }) => codec.length);
  const least = lengths.reduce<number>((sum, length) => sum + (length ?? 0), 0);
  const isFixed = !lengths.includes(undefined);
  return {
    ...(isFixed && { length: least }),
    fields,
    decode(record) {
      if (record.length < least || (isFixed && record.length > least)) return undefined;
      let at = 0;
      return Object.fromEntries(
        fields.map(({ name, codec }) => {
          const part = record.subarray(at, at + (codec.length ?? record.length));
          at += part.length;
          return [name, codec.decode(part) ?? Buffer.from(part).toString("hex").toUpperCase()];
        }),
      );
    },
    encode(value) {
      if (typeof value !== "object" || Array.isArray(value)) throw new RangeError("named fields");
      const given = new Map(Object.entries(value));
      return Buffer.concat(
        fields.map(({ name, codec }) => {
          const part = given.get(name);
          if (part === undefined) throw new RangeError(`field ${name} is missing`);
          return codec.encode(part);
        }),
      );
    },
  };
}
