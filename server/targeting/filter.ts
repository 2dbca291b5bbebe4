import { compile, type Test } from "./compile.ts";
import { parsePredicate } from "./parser.ts";
import type { Predicate } from "./predicate.ts";
import { printPredicate } from "./print.ts";
import type { TargetVehicle } from "./vehicle.ts";

/** Which vehicles are meant, as somebody has written it; `docs/filters.md` has the language. */
export interface Filter {
  predicate: Predicate;
  test: Test;
}

/** @throws FilterError FILTER_INVALID, with where and what was expected */
export function parseFilter(text: string): Filter {
  const predicate = parsePredicate(text);
  return { predicate, test: compile(predicate) };
}

/** The one way to write a filter; reading it gives the same filter. */
export function printFilter({ predicate }: Filter): string {
  return printPredicate(predicate);
}

export function matches({ test }: Filter, vehicle: TargetVehicle): boolean {
  return test(vehicle);
}
