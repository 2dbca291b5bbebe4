import { toHex } from "#protocol/bytes/hex.ts";
import type { Catalogue } from "./catalogue.ts";
import type { DidCodec, DidField, DidValue } from "./did-codec.ts";

/** An identifier as people write it (`0xF190`) with its name; `unknown` when it has none. */
export interface Named {
  id: string;
  name: string;
}

/** A part of a message: what it means beside its bytes. */
export interface DecodedValue {
  did?: string;
  name: string;
  value: DidValue;
  unit?: string;
  /** The parts of a structure. */
  fields?: DecodedValue[];
  /** The bytes in hex. */
  raw: string;
}

/** Of what a message is a part, for its layout. */
export interface MessageContext {
  request: Uint8Array;
  /** Without the suppress bit. */
  subFunction: number;
  catalogue: Catalogue;
}

/** More of a kind in one message stay raw, so that a hostile answer costs little to show. */
const MAX_ITEMS = 1024;

/** A number of more bytes loses digits. */
const MAX_NUMBER_LENGTH = 6;

export interface NumberOptions {
  unit?: string;
  /** The physical value of one. */
  scale?: number;
  words?: Readonly<Record<number, string>>;
}

/**
 * Reads a message field by field and notes each. Never throws: from the first field that does not
 * fit on, the bytes are noted as `undecoded`.
 */
export interface FieldReader {
  readonly left: number;
  /** A big-endian integer; undefined when it does not fit. */
  number(name: string, length: number, options?: NumberOptions): number | undefined;
  /** Bytes that have no other form than hex; none are not noted. */
  hex(name: string, length: number): void;
  /** Bytes with their length, of two bytes, in front (29). */
  counted(name: string): void;
  text(name: string, length: number): void;
  record(name: string, codec: DidCodec | undefined, length: number, did?: number): void;
  /** All that is left. */
  rest(name: string): void;
  /** The next bytes, noted by the caller. */
  take(length: number): Uint8Array | undefined;
  note(value: DecodedValue): void;
  /** Looks at the bytes ahead. */
  peek(length: number): Uint8Array | undefined;
  /** Reads items while `least` bytes are left. */
  each(least: number, read: () => void): void;
  /** What was noted, and what is left as `undecoded`. */
  end(): DecodedValue[];
}

export function fieldReader(bytes: Uint8Array): FieldReader {
  const values: DecodedValue[] = [];
  let at = 0;
  let broken = false;
  const reader: FieldReader = {
    get left() {
      return broken ? 0 : bytes.length - at;
    },
    number(name, length, { unit, scale = 1, words } = {}) {
      const part = reader.take(length);
      if (part === undefined || length === 0) return undefined;
      if (length > MAX_NUMBER_LENGTH) {
        values.push({ name, value: toHex(part), raw: toHex(part) });
        return undefined;
      }
      const number = unsigned(part);
      const value = words?.[number] ?? number * scale;
      values.push({ name, value, ...(unit !== undefined && { unit }), raw: toHex(part) });
      return number;
    },
    hex: (name, length) => reader.record(name, undefined, length),
    counted(name) {
      const length = reader.peek(2);
      if (length === undefined || reader.left < 2 + unsigned(length)) {
        broken = true;
        return;
      }
      reader.take(2);
      reader.hex(name, unsigned(length));
    },
    text(name, length) {
      const part = reader.take(length);
      if (part === undefined || length === 0) return;
      const text = Buffer.from(part).toString("utf8");
      const raw = toHex(part);
      values.push({ name, value: /^[\P{C}]*$/u.test(text) ? text : raw, raw });
    },
    record(name, codec, length, did) {
      const part = reader.take(length);
      if (part === undefined || (length === 0 && did === undefined)) return;
      values.push({
        ...(did !== undefined && { did: hexId(did, 2) }),
        ...describeRecord(name, codec, part),
      });
    },
    rest: (name) => reader.hex(name, reader.left),
    take(length) {
      const part = reader.peek(length);
      if (part === undefined) broken = true;
      else at += length;
      return part;
    },
    note: (value) => values.push(value),
    peek: (length) =>
      length > reader.left || broken ? undefined : bytes.subarray(at, at + length),
    each(least, read) {
      for (let count = 0; count < MAX_ITEMS && reader.left >= least && !broken; count++) read();
    },
    end() {
      const raw = toHex(bytes.subarray(at));
      return raw === "" ? values : [...values, { name: "undecoded", value: raw, raw }];
    },
  };
  return reader;
}

/** Bytes by their codec; without one, or when they do not fit it, they stay hex. */
export function describeRecord(
  name: string,
  codec: DidCodec | undefined,
  record: Uint8Array,
): DecodedValue {
  const raw = toHex(record);
  const value = codec?.decode(record);
  if (codec === undefined || value === undefined) return { name, value: raw, raw };
  return {
    name,
    value,
    ...(codec.unit !== undefined && { unit: codec.unit }),
    ...(codec.fields && { fields: describeFields(codec.fields, record) }),
    raw,
  };
}

/** Fields one behind the other; what is left, or is too short, is `undecoded`. */
export function describeFields(fields: readonly DidField[], record: Uint8Array): DecodedValue[] {
  const reader = fieldReader(record);
  for (const { name, codec } of fields) reader.record(name, codec, codec.length ?? reader.left);
  return reader.end();
}

export function unsigned(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

export function u16(bytes: Uint8Array, at: number): number | undefined {
  const high = bytes[at];
  const low = bytes[at + 1];
  return high === undefined || low === undefined ? undefined : high * 256 + low;
}

export function named(id: number, length: number, name: string | undefined): Named {
  return { id: hexId(id, length), name: name ?? "unknown" };
}

export function hexId(id: number, length: number): string {
  return `0x${id
    .toString(16)
    .toUpperCase()
    .padStart(2 * length, "0")}`;
}
