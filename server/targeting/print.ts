import { ecuParts, fields, type FieldType } from "./field.ts";
import type { Comparison, Predicate, Subject } from "./predicate.ts";

/** A predicate in the one way in which it is written; reading it gives the same predicate. */
export function printPredicate(predicate: Predicate): string {
  switch (predicate.kind) {
    case "all":
      return "all";
    case "and":
    case "or":
      return predicate.terms.map(printTerm).join(` ${predicate.kind} `);
    case "not":
      return `not ${printTerm(predicate.term)}`;
    case "known":
      return `${predicate.field} is ${predicate.known ? "known" : "unknown"}`;
    case "ecu":
      return `ecu(${quote(predicate.ecu_type)})`;
    case "compare":
      return printComparison(predicate);
  }
}

/** Parentheses stand wherever `and`, `or` and `not` meet, also where precedence would do. */
function printTerm(term: Predicate): string {
  const text = printPredicate(term);
  return term.kind === "and" || term.kind === "or" ? `(${text})` : text;
}

function printComparison({ subject, operator, values }: Comparison): string {
  const printed = values.map((value) => (typeOf(subject) === "text" ? quote(value) : value));
  const right =
    operator === "in" || operator === "not in" ? `(${printed.join(", ")})` : printed.join();
  return `${printSubject(subject)} ${operator} ${right}`;
}

/** As a filter names it. */
export function printSubject(subject: Subject): string {
  return subject.of === "vehicle"
    ? subject.field
    : `ecu(${quote(subject.ecu_type)}).${subject.part}`;
}

/** The type of what a comparison looks at. */
export function typeOf(subject: Subject): FieldType {
  return subject.of === "vehicle" ? fields[subject.field] : ecuParts[subject.part];
}

function quote(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}
