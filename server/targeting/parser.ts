import { ecuParts, fields, operators, optionalFields, type Operator } from "./field.ts";
import { FilterError } from "./filter-error.ts";
import { nearest } from "./nearest.ts";
import { join, type Comparison, type Predicate, type Subject } from "./predicate.ts";
import { printSubject, typeOf } from "./print.ts";
import { tokensOf, type Token } from "./tokens.ts";
import { readValue } from "./value.ts";

/** Characters (UTF-16 units) of a filter. */
const MAX_FILTER_LENGTH = 4096;
/** Parentheses and `not` within each other. */
const MAX_FILTER_DEPTH = 32;
/** Values of an `in`. */
const MAX_FILTER_LIST = 500;

/** Where the parser is in its text. */
interface Source {
  text: string;
  tokens: readonly Token[];
  at: number;
  depth: number;
}

/** @throws FilterError */
export function parsePredicate(text: string): Predicate {
  if (text.length > MAX_FILTER_LENGTH) {
    const what = `a filter has at most ${MAX_FILTER_LENGTH} characters, this one ${text.length}`;
    throw new FilterError(text, MAX_FILTER_LENGTH, what);
  }
  const source: Source = { text, tokens: tokensOf(text), at: 0, depth: 0 };
  const predicate = parseOr(source);
  if (peek(source).kind !== "end") fail(source, "and, or, or the end");
  return predicate;
}

function parseOr(source: Source): Predicate {
  return parseChain(source, "or", () => parseChain(source, "and", () => parseTerm(source)));
}

function parseChain(source: Source, kind: "and" | "or", parsePart: () => Predicate): Predicate {
  const parts: [Predicate, ...Predicate[]] = [parsePart()];
  while (takeWord(source, kind)) parts.push(parsePart());
  return join(kind, parts);
}

function parseTerm(source: Source): Predicate {
  if (takeWord(source, "not"))
    return deeper(source, () => ({ kind: "not", term: parseTerm(source) }));
  if (takeSymbol(source, "(")) {
    const predicate = deeper(source, () => parseOr(source));
    demandSymbol(source, ")", "and, or, or )");
    return predicate;
  }
  if (takeWord(source, "all")) return { kind: "all" };
  return takeWord(source, "ecu") ? parseEcu(source) : parseField(source);
}

function deeper(source: Source, parse: () => Predicate): Predicate {
  source.depth += 1;
  if (source.depth > MAX_FILTER_DEPTH)
    reject(source, peek(source), `parentheses and not go at most ${MAX_FILTER_DEPTH} deep`);
  const predicate = parse();
  source.depth -= 1;
  return predicate;
}

function parseEcu(source: Source): Predicate {
  demandSymbol(source, "(", '("type")');
  const { kind, text: ecu_type } = peek(source);
  if (kind !== "string")
    fail(source, 'the type of an ECU in quotes, as in ecu("brake-controller")');
  advance(source);
  demandSymbol(source, ")");
  if (!takeSymbol(source, ".")) return { kind: "ecu", ecu_type };
  const part = takeName(source, ecuParts, "version or hardware");
  return parseComparison(source, { of: "ecu", ecu_type, part });
}

function parseField(source: Source): Predicate {
  const field = takeName(
    source,
    fields,
    `a condition (all, not, ecu("…"), or one of ${Object.keys(fields).join(", ")})`,
  );
  if (!takeWord(source, "is")) return parseComparison(source, { of: "vehicle", field });
  const optional = optionalFields.find((each) => each === field);
  if (optional === undefined) {
    const previous = source.tokens[source.at - 1] ?? peek(source);
    reject(source, previous, `${field} is always known; only ${optionalFields.join(", ")} may be`);
  }
  const unknown = takeWord(source, "unknown");
  if (!unknown && !takeWord(source, "known")) fail(source, "known or unknown");
  return { kind: "known", field: optional, known: !unknown };
}

function parseComparison(source: Source, subject: Subject): Comparison {
  const type = typeOf(subject);
  const operator = takeOperator(source);
  if (operator === undefined || !operators[type].includes(operator)) {
    if (operator !== undefined) source.at -= operator === "not in" ? 2 : 1;
    const isOptional =
      subject.of === "vehicle" && optionalFields.some((each) => each === subject.field);
    const expected = [...operators[type], ...(isOptional ? ["is"] : [])].join(" ");
    fail(source, `after ${printSubject(subject)} one of: ${expected}`);
  }
  const values =
    operator === "in" || operator === "not in"
      ? parseList(source, subject)
      : [parseValue(source, subject)];
  return { kind: "compare", subject, operator, values };
}

/** @returns undefined when there is none; nothing is taken then */
function takeOperator(source: Source): Operator | undefined {
  const { kind, text } = peek(source);
  if (takeWord(source, "in")) return "in";
  if (kind === "word" && text.toLowerCase() === "not") {
    source.at += 1;
    if (takeWord(source, "in")) return "not in";
    source.at -= 1;
    return undefined;
  }
  const operator = operators.text
    .concat(operators.version)
    .find((each) => kind === "symbol" && each === text);
  if (operator !== undefined) source.at += 1;
  return operator;
}

function parseList(source: Source, subject: Subject): string[] {
  demandSymbol(source, "(", "a list in parentheses");
  const values = [parseValue(source, subject)];
  while (takeSymbol(source, ",")) {
    if (values.length === MAX_FILTER_LIST)
      reject(source, peek(source), `a list has at most ${MAX_FILTER_LIST} values`);
    values.push(parseValue(source, subject));
  }
  demandSymbol(source, ")", ", or )");
  return values;
}

function parseValue(source: Source, subject: Subject): string {
  const read = readValue(peek(source), typeOf(subject));
  if ("expected" in read) fail(source, `for ${printSubject(subject)} ${read.expected}`);
  advance(source);
  return read.value;
}

function takeName<Name extends string>(
  source: Source,
  names: Record<Name, unknown>,
  expected: string,
): Name {
  const token = peek(source);
  if (token.kind !== "word") return fail(source, expected);
  const known = Object.keys(names) as Name[];
  const name = known.find((each) => each === token.text);
  if (name !== undefined) {
    advance(source);
    return name;
  }
  const meant = nearest(token.text, known);
  return fail(source, expected, meant === undefined ? "" : `; did you mean ${meant}?`);
}

function takeWord(source: Source, word: string): boolean {
  const { kind, text } = peek(source);
  const isThere = kind === "word" && text.toLowerCase() === word;
  if (isThere) advance(source);
  return isThere;
}

function takeSymbol(source: Source, symbol: string): boolean {
  const { kind, text } = peek(source);
  const isThere = kind === "symbol" && text === symbol;
  if (isThere) advance(source);
  return isThere;
}

function demandSymbol(source: Source, symbol: string, expected = symbol): void {
  if (!takeSymbol(source, symbol)) fail(source, expected);
}

/** @throws FilterError that the current token is not what is expected */
function fail(source: Source, expected: string, hint = ""): never {
  const { kind, written } = peek(source);
  const found = kind === "end" ? "the filter ends" : `found ${shortened(written)}`;
  return reject(source, peek(source), `expected ${expected}; ${found}${hint}`);
}

function reject({ text }: Source, token: Token, what: string): never {
  throw new FilterError(text, token.offset, what);
}

const MAX_SHOWN = 40;

function shortened(written: string): string {
  return written.length > MAX_SHOWN ? `${written.slice(0, MAX_SHOWN)}…` : written;
}

function peek({ tokens, at }: Source): Token {
  const token = tokens[at];
  if (token === undefined) throw new RangeError("read past the end of a filter");
  return token;
}

function advance(source: Source): void {
  if (peek(source).kind !== "end") source.at += 1;
}
