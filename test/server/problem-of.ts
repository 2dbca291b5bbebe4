import { problems } from "#protocol/api/problem.ts";
import type { Answer } from "#test/helpers/gateway.ts";

/**
 * The code of a refusal.
 * @throws when the answer is no proper problem document, with a code that exists and the status that
 *   goes with it
 */
export function problemOf({
  status,
  headers,
  json,
}: Pick<Answer, "status" | "headers" | "json">): keyof typeof problems {
  const document = json as Record<string, unknown> | undefined;
  const code = document?.["code"] as keyof typeof problems;
  const known = Object.hasOwn(problems, code) ? problems[code] : undefined;
  const isProper =
    known !== undefined &&
    status === known.status &&
    document?.["status"] === known.status &&
    document["title"] === known.title &&
    document["type"] === `urn:latticeway:problem:${code}` &&
    typeof document["trace_id"] === "string" &&
    /^application\/problem\+json(;|$)/.test(String(headers["content-type"]));
  if (!isProper) throw new Error(`${status} is no problem document: ${JSON.stringify(json)}`);
  return code;
}
