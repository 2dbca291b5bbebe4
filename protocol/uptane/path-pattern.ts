import { createHash } from "node:crypto";
import type { DelegatedRole } from "./metadata.ts";

/** Whether a delegation covers a target path (TUF 1.0 §4.5: PATHPATTERN, PATH_HASH_PREFIX). */
export function covers(role: DelegatedRole, path: string): boolean {
  if (role.paths?.some((pattern) => matchesPattern(pattern, path)) === true) return true;
  if (role.path_hash_prefixes === undefined) return false;
  const hash = createHash("sha256").update(path, "utf8").digest("hex");
  return role.path_hash_prefixes.some((prefix) => hash.startsWith(prefix));
}

/** A shell pattern, segment by segment: a wildcard never reaches over a slash. */
export function matchesPattern(pattern: string, path: string): boolean {
  const patterns = pattern.split("/");
  const segments = path.split("/");
  return (
    patterns.length === segments.length &&
    patterns.every((one, index) => matchesSegment(signsOf(one), Array.from(segments[index] ?? "")))
  );
}

/** One sign of a pattern: any run, or a test of one character. */
type Sign = "any" | ((character: string) => boolean);

function signsOf(pattern: string): Sign[] {
  const signs: Sign[] = [];
  for (let rest = pattern; rest !== "";) {
    const [token = "", negated, set] = /^\[(!?)(\][^\]]*|[^\]]+)\]/.exec(rest) ?? [];
    const [first = ""] = rest;
    if (token !== "") signs.push(oneOf(set ?? "", negated === "!"));
    else if (first === "*") signs.push("any");
    else if (first === "?") signs.push(() => true);
    else signs.push((character) => character === first);
    rest = rest.slice(token.length || first.length);
  }
  return signs;
}

function oneOf(set: string, negated: boolean): Sign {
  const ranges: [string, string][] = [];
  for (const [, from = "", to = from] of set.matchAll(/([^])(?:-([^]))?/gu))
    ranges.push([from, to]);
  return (character) =>
    ranges.some(([from, to]) => from <= character && character <= to) !== negated;
}

/** In steps of at most pattern times text: on a mismatch only the last `*` takes one more. */
function matchesSegment(signs: readonly Sign[], text: readonly string[]): boolean {
  let at = 0;
  let sign = 0;
  let star: { sign: number; at: number } | undefined;
  while (at < text.length) {
    const current = signs[sign];
    if (current === "any") {
      star = { sign, at };
      sign++;
    } else if (current?.(text[at] ?? "") === true) {
      sign++;
      at++;
    } else if (star !== undefined) {
      star.at++;
      at = star.at;
      sign = star.sign + 1;
    } else return false;
  }
  return signs.slice(sign).every((left) => left === "any");
}
