/** A data identifier's value as operators read it. */
export type DidValue = string | number;

/** The data record of one DID: encode beside decode. */
export interface DidCodec {
  /** Fixed length in bytes; absent when any length will do. */
  length?: number;
  /** The physical unit of the value. */
  unit?: string;
  /** @returns undefined for bytes that do not fit. */
  decode(record: Uint8Array): DidValue | undefined;
  /** @throws RangeError for a value that does not fit. */
  encode(value: DidValue): Uint8Array;
}

/** Printable text; trailing NULs and blanks are padding. */
export function text(length?: number): DidCodec {
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
      const bytes = Buffer.from(String(value), "latin1");
      if (length === undefined) return bytes;
      if (bytes.length > length) throw new RangeError(`at most ${length} characters`);
      return Buffer.concat([bytes, Buffer.alloc(length - bytes.length, 0x20)]);
    },
  };
}

/** A big-endian integer of 1 to 4 bytes; the value is the integer times `scale`. */
export function integer(
  length: 1 | 2 | 4,
  options: { signed?: boolean; scale?: number; unit?: string } = {},
): DidCodec {
  const { signed = false, scale = 1, unit } = options;
  return {
    length,
    ...(unit !== undefined && { unit }),
    decode(record) {
      if (record.length !== length) return undefined;
      const bytes = Buffer.from(record);
      const raw = signed ? bytes.readIntBE(0, length) : bytes.readUIntBE(0, length);
      return Number((raw * scale).toPrecision(12));
    },
    encode(value) {
      const raw = Math.round(Number(value) / scale);
      if (!Number.isFinite(raw)) throw new RangeError(`${value} is no number`);
      const bytes = Buffer.alloc(length);
      if (signed) bytes.writeIntBE(raw, 0, length);
      else bytes.writeUIntBE(raw, 0, length);
      return bytes;
    },
  };
}

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;

/** `YYYYMMDD` in BCD, read as an ISO 8601 date. */
export const bcdDate: DidCodec = {
  length: 4,
  decode(record) {
    if (record.length !== 4) return undefined;
    const digits = Buffer.from(record).toString("hex");
    if (!/^\d{8}$/.test(digits)) return undefined;
    return `${digits.slice(0, 4)}-${digits.slice(4, 6)}-${digits.slice(6)}`;
  },
  encode(value) {
    const parts = DATE.exec(String(value));
    if (parts === null) throw new RangeError("a date as YYYY-MM-DD");
    return Buffer.from(parts.slice(1).join(""), "hex");
  },
};

/** One byte that stands for a word. */
export function choice(words: Readonly<Record<number, string>>): DidCodec {
  return {
    length: 1,
    decode: ([byte]) => (byte === undefined ? undefined : (words[byte] ?? byte)),
    encode(value) {
      const found = Object.entries(words).find(([, word]) => word === value);
      const byte = found === undefined ? Number(value) : Number(found[0]);
      if (!Number.isInteger(byte) || byte < 0 || byte > 0xff) throw new RangeError("one byte");
      return Uint8Array.of(byte);
    },
  };
}
