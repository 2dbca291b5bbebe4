import type { EcuPart, FieldName, Operator, OptionalField } from "./field.ts";

/** What a comparison looks at. */
export type Subject =
  | { of: "vehicle"; field: FieldName }
  /** The ECUs of a type. */
  | { of: "ecu"; ecu_type: string; part: EcuPart };

export interface Comparison {
  kind: "compare";
  subject: Subject;
  operator: Operator;
  /** One, or those of a list; of versions, dates and profiles as written. */
  values: readonly string[];
}

/** A filter as a tree. `and` and `or` have two terms or more, none of them of their own kind. */
export type Predicate =
  | { kind: "all" }
  | { kind: "and" | "or"; terms: readonly Predicate[] }
  | { kind: "not"; term: Predicate }
  | { kind: "known"; field: OptionalField; known: boolean }
  /** The vehicle has an ECU of this type. */
  | { kind: "ecu"; ecu_type: string }
  | Comparison;

/** Joins terms; terms of the same kind become part of it. */
export function join(kind: "and" | "or", parts: readonly [Predicate, ...Predicate[]]): Predicate {
  const terms = parts.flatMap((part) => (part.kind === kind ? part.terms : [part]));
  const [only] = parts;
  return terms.length === 1 ? only : { kind, terms };
}

/** The predicates that one is made of. */
export function childrenOf(predicate: Predicate): readonly Predicate[] {
  if (predicate.kind === "not") return [predicate.term];
  return predicate.kind === "and" || predicate.kind === "or" ? predicate.terms : [];
}
