/** Why {@link parseJson} refused a text. */
export class JsonError extends Error {
  readonly code = "JSON_MALFORMED";

  constructor(message: string) {
    super(message);
    this.name = "JsonError";
  }
}

// A NUL or half a surrogate pair is legal JSON, but no database text: refuse it at the edge.
const unstorable = /\\u(?:0000|d[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})|d[c-f][0-9a-f]{2})/i;
const pairs = /\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}/gi;

/**
 * Parses JSON from outside.
 * @throws JsonError for text that is not JSON, or that holds U+0000 or half a surrogate pair
 */
export function parseJson(text: string): unknown {
  if (text.includes("\\u") && unstorable.test(text.replace(pairs, ""))) {
    throw new JsonError("U+0000 and unpaired surrogates are not accepted");
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new JsonError((error as Error).message);
  }
}
