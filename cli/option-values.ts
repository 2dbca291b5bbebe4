import { InvalidArgumentError, Option } from "commander";

/** Values of options, as people type them. Each throws InvalidArgumentError with what would do. */

/** `a,b,c`, none of them empty. */
export function names(text: string): string[] {
  const list = text.split(",").map((each) => each.trim());
  if (list.includes("")) throw new InvalidArgumentError("It is a list like a,b,c.");
  return list;
}

/** A whole number. */
export function integer(least: number, most: number) {
  return (text: string): number => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
  };
}

/** Above 0, up to 100. */
export function percentage(text: string): number {
  const value = /^\d{1,3}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value <= 100) return value;
  throw new InvalidArgumentError("It is a percentage above 0, up to 100.");
}

/** From 0 to 1. */
export function rate(text: string): number {
  const value = /^\d(\.\d{1,9})?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("It is a part of one, 0.02 for 2 percent.");
}

/** JSON text. */
export function jsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("It is not JSON.");
  }
}

/** true or false, for what may be either. */
export function flag(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new InvalidArgumentError("It is true or false.");
}

/** An option that takes one of these. */
export function oneOf(flags: string, description: string, choices: readonly string[]): Option {
  return new Option(flags, description).choices(choices);
}
