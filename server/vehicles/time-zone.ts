import { ProblemError } from "#protocol/api/problem.ts";

/** @throws ProblemError TIME_ZONE_UNKNOWN */
export function demandTimeZone(name: string): void {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ProblemError("TIME_ZONE_UNKNOWN", name);
  }
}
