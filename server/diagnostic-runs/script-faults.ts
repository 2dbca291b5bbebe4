import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { ScriptOutline, stepKinds } from "#protocol/mqtt/diagnostic-script.ts";

export interface ScriptFault {
  path: string;
  message: string;
}

const kinds = new Map(Object.entries(stepKinds).map(([name, schema]) => [name, Compile(schema)]));
const kindNames = [...kinds.keys()].join(", ");
/** Characters of unknown members that are repeated. */
const MAX_NAMES = 128;
const outline = Compile(ScriptOutline);

/**
 * What is wrong with a script, by place. A step is held to the kind that its members name: the
 * errors of a union would be those of every kind.
 */
export function* scriptFaults(script: unknown): Generator<ScriptFault, void> {
  yield* errorsOf(outline, script, "/script");
  const { steps, cleanup } = asRecord(script);
  yield* stepFaults(steps, "/script/steps");
  yield* stepFaults(cleanup, "/script/cleanup");
}

function* stepFaults(steps: unknown, path: string): Generator<ScriptFault, void> {
  if (!Array.isArray(steps)) return;
  for (const [index, each] of steps.entries()) {
    const place = `${path}/${index}`;
    const step = asRecord(each);
    const named = Object.keys(step).filter((key) => kinds.has(key));
    const kind = named.length === 1 ? kinds.get(named[0] ?? "") : undefined;
    if (kind === undefined) {
      yield { path: place, message: `must have one of ${kindNames}` };
      continue;
    }
    yield* errorsOf(kind, step, place);
    for (const inner of ["then", "else", "steps"]) {
      yield* stepFaults(step[inner], `${place}/${inner}`);
    }
  }
}

function* errorsOf(
  schema: ReturnType<typeof Compile<TSchema>>,
  value: unknown,
  path: string,
): Generator<ScriptFault, void> {
  for (const error of schema.Errors(value)) {
    // An unknown member is reported twice: as such, and as a value that nothing fits.
    if (error.keyword === "boolean") continue;
    yield { path: path + error.instancePath, message: said(error) };
  }
}

type SchemaError = ReturnType<ReturnType<typeof Compile<TSchema>>["Errors"]>[number];

function said(error: SchemaError): string {
  if (error.keyword === "additionalProperties") {
    const names = error.params.additionalProperties.join(", ");
    return `has no such member: ${names.slice(0, MAX_NAMES)}`;
  }
  if (error.keyword === "const") return `must be ${JSON.stringify(error.params.allowedValue)}`;
  const isHex = error.keyword === "pattern" && String(error.params.pattern).includes("0-9A-F");
  return isHex ? "must be whole bytes in hex" : error.message;
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
