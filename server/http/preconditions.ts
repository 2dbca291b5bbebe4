import { ProblemError } from "#protocol/api/problem.ts";

export interface Preconditions {
  ifMatch: string | undefined;
  ifNoneMatch: string | undefined;
}

/**
 * Evaluates the preconditions of a GET or HEAD for a file with a strong entity tag and no
 * modification date, in the order of RFC 9110 §13.2.2.
 * @throws ProblemError PRECONDITION_FAILED
 */
export function evaluatePreconditions(
  etag: string,
  { ifMatch, ifNoneMatch }: Preconditions,
): "send" | "not modified" {
  // §13.1.1 compares strongly: a weak tag never matches.
  if (ifMatch !== undefined && !names(ifMatch, (tag) => tag === etag)) {
    throw new ProblemError("PRECONDITION_FAILED", `the file is ${etag}`);
  }
  // §13.1.2 compares weakly: W/ makes no difference.
  const known = ifNoneMatch !== undefined && names(ifNoneMatch, (tag) => opaque(tag) === etag);
  return known ? "not modified" : "send";
}

/** `*`, or entity tags (§8.8.3) between commas; a comma may be part of a tag. */
function names(list: string, isIt: (tag: string) => boolean): boolean {
  if (list.trim() === "*") return true;
  return (list.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? []).some(isIt);
}

function opaque(tag: string): string {
  return tag.replace(/^W\//, "");
}
