import { compile } from "./compile.ts";
import type { Filter } from "./filter.ts";
import type { Predicate } from "./predicate.ts";
import { printPredicate } from "./print.ts";
import type { TargetVehicle } from "./vehicle.ts";

/** The smallest parts of a filter that a vehicle fails at; none when it fits. */
export function unmetParts({ predicate }: Filter, vehicle: TargetVehicle): string[] {
  return unmet(predicate, vehicle).map(printPredicate);
}

function unmet(predicate: Predicate, vehicle: TargetVehicle): Predicate[] {
  if (compile(predicate)(vehicle)) return [];
  return predicate.kind === "and"
    ? predicate.terms.flatMap((term) => unmet(term, vehicle))
    : [predicate];
}
