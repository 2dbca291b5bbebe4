/** A value that has no canonical form. `path` says where it is, `$.zones[0].length`. */
export class CanonicalJsonError extends Error {
  readonly code = "CANONICAL_JSON_UNSUPPORTED";
  readonly path: string;

  constructor(path: string, what: string) {
    super(`${path}: ${what} has no canonical JSON`);
    this.name = "CanonicalJsonError";
    this.path = path;
  }
}

/**
 * The bytes that TUF and Uptane sign: OLPC canonical JSON in UTF-8. Keys in code point order, no
 * blanks, only `"` and `\` escaped, integers only. A control character stands as it is, so the
 * result is JSON only for strings without one.
 * @throws CanonicalJsonError for anything that other implementations might write in another way:
 * fractions, integers beyond 2^53, -0, undefined, half a surrogate pair, class instances.
 */
export function canonicalJson(value: unknown): Buffer {
  return Buffer.from(write(value), "utf8");
}

/**
 * Reads bytes that must be canonical JSON to the last byte: no duplicate key, no other order, no
 * blank gets through, so what was signed and what is read are one thing.
 * @returns undefined when they are not.
 */
export function parseCanonicalJson(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    return canonicalJson(value).equals(bytes) ? value : undefined;
  } catch {
    return undefined;
  }
}

const MAX_DEPTH = 64;

/** Where a value is, from the inside out; put into words only for an error. */
interface Place {
  in: Place | undefined;
  at: string | number;
}

function write(value: unknown, place?: Place, depth = 0): string {
  if (depth > MAX_DEPTH) throw new CanonicalJsonError(text(place), `nesting beyond ${MAX_DEPTH}`);
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return writeString(value, place);
  if (typeof value === "number") return writeInteger(value, place);
  if (Array.isArray(value)) {
    // Array.from visits holes too, and finds undefined there.
    const items = Array.from(value as unknown[], (item, index) =>
      write(item, { in: place, at: index }, depth + 1),
    );
    return `[${items.join(",")}]`;
  }
  if (typeof value === "object" && isPlain(value)) {
    const members = inCodePointOrder(Object.keys(value)).map((key) => {
      const at = { in: place, at: key };
      return `${writeString(key, at)}:${write((value as Record<string, unknown>)[key], at, depth + 1)}`;
    });
    return `{${members.join(",")}}`;
  }
  const what = typeof value === "object" ? "a class instance" : typeof value;
  throw new CanonicalJsonError(text(place), what);
}

/** JavaScript compares UTF-16 units, which is another order as soon as there are surrogates. */
function inCodePointOrder(keys: string[]): string[] {
  return keys.some((key) => /[\ud800-\udfff]/.test(key))
    ? keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    : keys.sort();
}

function writeString(value: string, place: Place | undefined): string {
  if (!value.isWellFormed()) throw new CanonicalJsonError(text(place), "half a surrogate pair");
  return /["\\]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : `"${value}"`;
}

function writeInteger(value: number, place: Place | undefined): string {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
    throw new CanonicalJsonError(text(place), `the number ${Object.is(value, -0) ? "-0" : value}`);
  }
  return String(value);
}

function text(place: Place | undefined): string {
  if (place === undefined) return "$";
  return text(place.in) + (typeof place.at === "number" ? `[${place.at}]` : `.${place.at}`);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
