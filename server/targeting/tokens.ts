import { FilterError } from "./filter-error.ts";

/** A piece of a filter's text. */
export interface Token {
  /** `value` is what begins with a digit: a number, a version, a date. */
  kind: "word" | "string" | "value" | "symbol" | "end";
  /** Of a string what it stands for; of the others as written. */
  text: string;
  /** Where it begins. */
  offset: number;
  /** As written, for messages. */
  written: string;
}

const patterns = [
  ["word", /[A-Za-z_][A-Za-z0-9_-]*/y],
  ["value", /[0-9][0-9A-Za-z.:+-]*/y],
  ["string", /"(?:[^"\\\p{Cc}\p{Cs}]|\\["\\])*"/uy],
  // What is no symbol of the language is a token too, for the parser to say what it expects.
  ["symbol", /[=!<>~&|]{1,2}|[^\s"]/uy],
] as const;

/**
 * Splits a filter's text; the last token is of the kind `end`.
 * @throws FilterError on a string without an end, or with an unknown escape in it
 */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let offset = skipSpace(text, 0);
  while (offset < text.length) {
    const token = tokenAt(text, offset);
    tokens.push(token);
    offset = skipSpace(text, offset + token.written.length);
  }
  return [...tokens, { kind: "end", text: "", offset: text.length, written: "" }];
}

function skipSpace(text: string, from: number): number {
  const space = /\s*/y;
  space.lastIndex = from;
  return from + (space.exec(text)?.[0].length ?? 0);
}

function tokenAt(text: string, offset: number): Token {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = offset;
    const written = pattern.exec(text)?.[0];
    if (written !== undefined) return { kind, text: meaning(kind, written), offset, written };
  }
  throw new FilterError(
    text,
    offset,
    'a string goes from " to " on one line; inside it \\" and \\\\ stand for " and \\',
  );
}

function meaning(kind: Token["kind"], written: string): string {
  return kind === "string" ? written.slice(1, -1).replaceAll(/\\(.)/g, "$1") : written;
}
