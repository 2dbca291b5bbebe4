/** Why {@link parseJson} refused a text. */
export class JsonError extends Error {
  readonly code = "JSON_MALFORMED";

  constructor(message: string) {
    super(message);
    this.name = "JsonError";
  }
}

/** Far more than any message needs; databases and recursive code give out at a few thousand. */
const MAX_DEPTH = 64;

// A NUL or half a surrogate pair is legal JSON, but no database text: refuse it at the edge.
const unstorable = /\\u(?:0000|d[89a-f][0-9a-f]{2})/i;
/** What only looks like one: an escaped backslash before a `u`, and whole pairs. */
const harmless = /\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}/gi;

/**
 * Parses JSON from outside.
 * @throws JsonError for text that is not JSON, that holds U+0000 or half a surrogate pair, or whose
 *   values are nested deeper than 64 levels
 */
export function parseJson(text: string): unknown {
  if (text.includes("\\u") && unstorable.test(text.replace(harmless, " "))) {
    throw new JsonError("U+0000 and unpaired surrogates are not accepted");
  }
  const value = parse(text);
  if (isDeeper(value, MAX_DEPTH)) throw new JsonError(`nested deeper than ${MAX_DEPTH} levels`);
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new JsonError((error as Error).message);
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((child) => isDeeper(child, levels - 1));
}
