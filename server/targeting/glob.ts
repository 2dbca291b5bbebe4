/**
 * Whether text fits a pattern in which `*` stands for any characters and `?` for one. Takes at most
 * the square of the text's length, whatever the pattern.
 */
export function globTest(glob: string): (text: string) => boolean {
  const pattern = Array.from(glob);
  // A character is more than one unit of a string only where there are surrogates.
  return (text) => fits(pattern, /[\ud800-\udfff]/.test(text) ? Array.from(text) : text);
}

function fits(pattern: readonly string[], text: ArrayLike<string>): boolean {
  let at = 0;
  let from = 0;
  // Where the last star was, and what it has swallowed so far: the only thing to come back to.
  let star = -1;
  let swallowed = 0;
  while (from < text.length) {
    if (pattern[at] === "*") {
      star = at;
      swallowed = from;
      at += 1;
    } else if (at < pattern.length && (pattern[at] === "?" || pattern[at] === text[from])) {
      at += 1;
      from += 1;
    } else if (star >= 0) {
      swallowed += 1;
      at = star + 1;
      from = swallowed;
    } else return false;
  }
  while (pattern[at] === "*") at += 1;
  return at === pattern.length;
}

/** The same pattern for `like`. */
export function likePattern(glob: string): string {
  return glob
    .replaceAll(/[%_\\]/g, "\\$&")
    .replaceAll("*", "%")
    .replaceAll("?", "_");
}
