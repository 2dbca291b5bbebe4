/** Why {@link parseStrictJson} refused bytes. */
export type StrictJsonErrorCode =
  | "STRICT_JSON_SYNTAX"
  | "STRICT_JSON_DUPLICATE_KEY"
  | "STRICT_JSON_TOO_DEEP";

/** Bytes that two readers might read in two ways. `at` is a UTF-16 offset. */
export class StrictJsonError extends Error {
  readonly code: StrictJsonErrorCode;

  constructor(code: StrictJsonErrorCode, at: number, what: string) {
    super(`${what} at ${at}`);
    this.name = "StrictJsonError";
    this.code = code;
  }
}

/** Metadata is some ten levels deep. */
const MAX_DEPTH = 64;

/**
 * Reads JSON (RFC 8259) that means one thing to every reader: UTF-8 without a byte order mark, no
 * key twice in an object, only integers up to 2^53 in their shortest form, no half surrogate pair,
 * at most 64 levels. Blanks and the order of keys are free.
 * @throws StrictJsonError
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const source: Source = { text: decodeUtf8(bytes), at: 0 };
  const value = readValue(source, 0);
  skipBlanks(source);
  if (source.at !== source.text.length) throw syntax(source, "something after the value");
  return value;
}

interface Source {
  readonly text: string;
  at: number;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new StrictJsonError("STRICT_JSON_SYNTAX", 0, "bytes that are not UTF-8");
  }
}

function readValue(source: Source, depth: number): unknown {
  skipBlanks(source);
  if (depth > MAX_DEPTH) {
    throw new StrictJsonError("STRICT_JSON_TOO_DEEP", source.at, `more than ${MAX_DEPTH} levels`);
  }
  switch (source.text[source.at]) {
    case "{":
      return readObject(source, depth);
    case "[":
      return readArray(source, depth);
    case '"':
      return readString(source);
    default:
      return readLiteral(source);
  }
}

function readObject(source: Source, depth: number): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  source.at++;
  if (take(source, "}")) return object;
  do {
    skipBlanks(source);
    if (source.text[source.at] !== '"') throw syntax(source, "no key");
    const start = source.at;
    const key = readString(source);
    if (Object.hasOwn(object, key)) {
      throw new StrictJsonError("STRICT_JSON_DUPLICATE_KEY", start, `a second "${key}"`);
    }
    if (!take(source, ":")) throw syntax(source, "no colon");
    const value = readValue(source, depth + 1);
    // By assignment, "__proto__" would change the object instead of becoming a member.
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  } while (take(source, ","));
  if (!take(source, "}")) throw syntax(source, "an object without end");
  return object;
}

function readArray(source: Source, depth: number): unknown[] {
  const array: unknown[] = [];
  source.at++;
  if (take(source, "]")) return array;
  do array.push(readValue(source, depth + 1));
  while (take(source, ","));
  if (!take(source, "]")) throw syntax(source, "an array without end");
  return array;
}

function readString(source: Source): string {
  const token = source.text.slice(source.at, endOfString(source));
  let value: string;
  try {
    value = JSON.parse(token) as string;
  } catch {
    throw syntax(source, "a string that is not one");
  }
  if (!value.isWellFormed()) throw syntax(source, "half a surrogate pair");
  source.at += token.length;
  return value;
}

/** The offset after the closing quote; a regular expression would keep a stack as long as the string. */
function endOfString({ text, at }: Source): number {
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  return end + 1;
}

const LITERAL = /(?:null|true|false|-?(?:0|[1-9][0-9]*))(?![\w.+-])/y;

function readLiteral(source: Source): unknown {
  LITERAL.lastIndex = source.at;
  const [token] = LITERAL.exec(source.text) ?? [];
  if (token === undefined) throw syntax(source, "no value, or a number that is no integer");
  const value: unknown = JSON.parse(token);
  if (typeof value === "number" && (!Number.isSafeInteger(value) || Object.is(value, -0))) {
    throw syntax(source, "an integer without a canonical form");
  }
  source.at += token.length;
  return value;
}

function skipBlanks(source: Source): void {
  for (;;) {
    const sign = source.text[source.at];
    if (sign !== " " && sign !== "\t" && sign !== "\n" && sign !== "\r") return;
    source.at++;
  }
}

function take(source: Source, sign: string): boolean {
  skipBlanks(source);
  if (source.text[source.at] !== sign) return false;
  source.at++;
  return true;
}

function syntax(source: Source, what: string): StrictJsonError {
  return new StrictJsonError("STRICT_JSON_SYNTAX", source.at, what);
}
