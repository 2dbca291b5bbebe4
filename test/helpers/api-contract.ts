import { Compile } from "typebox/schema";

/** As much of an answer as the API's description speaks of. */
export interface ContractAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  bytes: Buffer;
}

interface MediaType {
  schema?: Schema;
}
interface Response {
  $ref?: string;
  content?: Record<string, MediaType>;
}
interface Operation {
  responses: Record<string, Response>;
}
export interface ApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; responses: Record<string, Response> };
}
export type Schema = { [keyword: string]: unknown };

type Validator = (value: unknown) => string[];

/** Holds answers to what the API's description says of them: status, media type and body. */
export interface ApiContract {
  /** @throws Error that tells what of the answer is not as described */
  check(method: string, path: string, answer: ContractAnswer): void;
}

export function apiContract(document: ApiDocument): ApiContract {
  const routes = Object.entries(document.paths).map(([template, operations]) => ({
    template,
    operations,
    pattern: new RegExp(`^${template.replace(/[.]/g, "\\.").replace(/\{\w+\}/g, "[^/]+")}$`),
  }));
  // Where both fit, a path without parameters is meant.
  routes.sort((a, b) => a.template.split("{").length - b.template.split("{").length);
  const validators = new Map<MediaType, Validator>();

  return {
    check(method, url, answer) {
      const [path = ""] = url.split("?");
      // The pages of the description are not part of what they describe.
      if (/^\/docs(\/|$)/.test(path)) return;
      const isHead = method === "HEAD";
      const fitting = routes.filter(({ pattern }) => pattern.test(path));
      const of = (name: string) => fitting.find(({ operations }) => name in operations);
      const route = of(method.toLowerCase()) ?? (isHead ? of("get") : undefined) ?? fitting[0];
      const operation =
        route?.operations[method.toLowerCase()] ?? (isHead ? route?.operations["get"] : undefined);
      const problem = failing(operation, answer, isHead);
      if (problem !== undefined) {
        const name = `${method} ${route?.template ?? path}`;
        throw new Error(
          `${name} answered ${answer.status}, not as /docs/json says: ${problem}\n${answer.bytes.subarray(0, 2000).toString()}`,
        );
      }
    },
  };

  function failing(
    operation: Operation | undefined,
    { status, headers, bytes }: ContractAnswer,
    isHead: boolean,
  ): string | undefined {
    const described = operation
      ? (operation.responses[status] ??
        (status >= 400 ? operation.responses["default"] : undefined))
      : status >= 400
        ? document.components.responses["Problem"]
        : undefined;
    if (described === undefined) return "there is no such answer";
    const content = resolve(described).content ?? {};
    const mediaType = String(headers["content-type"] ?? "").split(";")[0] ?? "";
    if (Object.keys(content).length === 0) {
      return bytes.length > 0 ? "it has a body" : undefined;
    }
    const media = content[mediaType];
    if (media === undefined) return `the media type "${mediaType}" is not among them`;
    // A file is its bytes, and an answer to HEAD has none.
    if (isHead || !/[/+]json$/.test(mediaType) || media.schema === undefined) return undefined;
    const errors = validatorOf(media)(parse(bytes));
    return errors.length > 0 ? errors.join("; ") : undefined;
  }

  function resolve(response: Response): Response {
    const name = response.$ref?.split("/").at(-1);
    return name === undefined ? response : (document.components.responses[name] ?? {});
  }

  function validatorOf(media: MediaType): Validator {
    let validator = validators.get(media);
    if (validator === undefined) {
      validator = strictValidator(document, media.schema ?? {});
      validators.set(media, validator);
    }
    return validator;
  }
}

/** Validates with a schema of the document; a member that no schema names is an error, too. */
export function strictValidator(document: ApiDocument, schema: Schema): Validator {
  const validator = Compile(closed(inlined(document, schema)));
  return (value) => {
    if (validator.Check(value)) return [];
    const [, errors] = validator.Errors(value);
    // A member that does not fit counts as not described, too: that much is said already.
    const misfits = errors.filter(({ keyword }) => keyword !== "unevaluatedProperties");
    return (misfits.length > 0 ? misfits : errors)
      .slice(0, 8)
      .map(
        ({ instancePath, message, params }) =>
          `${instancePath || "the body"} ${message} ${JSON.stringify(params)}`,
      );
  };
}

/** Components hold only what problems are made of, one reference deep. */
function inlined(document: ApiDocument, { $ref, ...schema }: Schema): Schema {
  if (typeof $ref !== "string") return schema;
  const named = document.components.schemas[$ref.split("/").at(-1) ?? ""] ?? {};
  return { allOf: [named, schema] };
}

const several = ["allOf", "anyOf", "oneOf"];

/** The schema with every object closed that does not say itself what else it may hold. */
function closed(schema: unknown, isPart = false): Schema {
  if (typeof schema !== "object" || schema === null) return schema as Schema;
  const { properties, items, additionalProperties, patternProperties } = schema as Schema;
  const isClosing = properties !== undefined || "allOf" in schema;
  const result: Schema = { ...schema };
  // `examples` of a schema are no schemas, and `example` is none of JSON Schema's words.
  delete result["examples"];
  for (const word of several) {
    const parts = (schema as Schema)[word];
    if (Array.isArray(parts)) {
      result[word] = parts.map((each) => closed(each, isPart || isClosing));
    }
  }
  if (properties !== undefined) result["properties"] = mapped(properties);
  if (patternProperties !== undefined) result["patternProperties"] = mapped(patternProperties);
  if (items !== undefined) result["items"] = closed(items);
  if (typeof additionalProperties === "object") {
    result["additionalProperties"] = closed(additionalProperties);
  }
  const isOpen = additionalProperties !== undefined || patternProperties !== undefined;
  if (isClosing && !isPart && !isOpen && hasMembers(schema as Schema)) {
    result["unevaluatedProperties"] = false;
  }
  return result;
}

/** An object without a single member described is one that may hold anything. */
function hasMembers({ properties, allOf }: Schema): boolean {
  return allOf !== undefined || Object.keys(properties as object).length > 0;
}

function mapped(schemas: unknown): Schema {
  return Object.fromEntries(
    Object.entries(schemas as Schema).map(([name, schema]) => [name, closed(schema)]),
  );
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}
