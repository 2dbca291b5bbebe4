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
  return Buffer.from(write(value, "$", 0), "utf8");
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

function write(value: unknown, path: string, depth: number): string {
  if (depth > MAX_DEPTH) throw new CanonicalJsonError(path, `nesting beyond ${MAX_DEPTH}`);
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return writeString(value, path);
  if (typeof value === "number") return writeInteger(value, path);
  if (Array.isArray(value)) {
    // Array.from visits holes too, and finds undefined there.
    const items = Array.from(value as unknown[], (item, index) =>
      write(item, `${path}[${index}]`, depth + 1),
    );
    return `[${items.join(",")}]`;
  }
  if (typeof value === "object" && isPlain(value)) {
    const entries = Object.entries(value)
      .map(([key, member]) => ({ key, member, order: Buffer.from(key, "utf8") }))
      // The order of UTF-8 bytes is that of code points; JavaScript compares UTF-16 units.
      .sort((a, b) => Buffer.compare(a.order, b.order))
      .map(({ key, member }) => {
        const at = `${path}.${key}`;
        return `${writeString(key, at)}:${write(member, at, depth + 1)}`;
      });
    return `{${entries.join(",")}}`;
  }
  throw new CanonicalJsonError(path, typeof value === "object" ? "a class instance" : typeof value);
}

function writeString(text: string, path: string): string {
  if (!text.isWellFormed()) throw new CanonicalJsonError(path, "half a surrogate pair");
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function writeInteger(value: number, path: string): string {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
    throw new CanonicalJsonError(path, `the number ${Object.is(value, -0) ? "-0" : value}`);
  }
  return String(value);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
