import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifySchema, RouteOptions } from "fastify";
import { Problem, problems } from "#protocol/api/problem.ts";
import { roles as everyRole, scopeOf, type Access } from "./access.ts";
import { exampleOf, type ExampleSchema } from "./example.ts";
import type { Http } from "./http.ts";
import { operationId } from "./operation-id.ts";

const description = `A gateway for the software of vehicles: releases, campaigns, policies, commands,
remote diagnostics, and the record of it all.

Operators show a token (\`Authorization: Bearer …\`), vehicles their certificate in the TLS handshake.
\`x-roles\` names the roles that may call an operation, and \`x-scope\` what a
restricted token has to be for. Every refusal is a problem document (RFC 9457) with a stable code.`;

const tags: Record<string, string> = {
  audit: "The hash-chained log of what operators did",
  auth: "Sessions of those who log in",
  campaigns: "Releases for chosen vehicles, wave by wave",
  certificates: "Vehicles' certificates: enrolment, renewal, revocation",
  commands: "Commands to vehicles, and their remote configuration",
  diagnostics: "Remote diagnostics: requests, sessions, scripts, scans, rules",
  events: "What happens, as it happens",
  firmware: "Releases with their images and SBOMs",
  health: "Probes and metrics",
  history: "What became of updates, and what vehicles told of them",
  operators: "Accounts and tokens of operators",
  ota: "The vehicle's side of updates",
  policies: "When vehicles update, and in what state",
  register: "Updates of type-approved software (UN R156)",
  telemetry: "Measured values, and what stands out among them",
  updates: "Updates of vehicles, step by step",
  uptane: "Signed metadata: the image repository and the director",
  vehicles: "Vehicles, and what they consist of",
  webhooks: "Where events are sent to",
};

/** Describes the API at `/docs`, and for programs at `/docs/json`: OpenAPI 3.1. */
export async function describeApi(http: Http): Promise<void> {
  await http.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Latticeway", description, version: "0.1.0" },
      tags: Object.entries(tags).map(([name, text]) => ({ name, description: text })),
      components: {
        securitySchemes: {
          operator: {
            type: "http",
            scheme: "bearer",
            description: "An operator's access token or API token",
          },
          vehicle: {
            // OpenAPI 3.1 §4.8.27; the types that the plugin has are those of 3.0.
            ...({ type: "mutualTLS" } as unknown as { type: "http"; scheme: "" }),
            description: "The vehicle's certificate",
          },
        },
      },
    },
    transform: ({ schema, url, route }) => ({ schema: describeRoute(schema, route), url }),
    transformObject: (document) =>
      complete((document as { openapiObject: Document }).openapiObject) as object,
  });
  await http.register(swaggerUi, { routePrefix: "/docs" });
}

/** What follows from the route itself: who may call it, and what its body is. */
function describeRoute(
  schema: FastifySchema | undefined,
  { method, config }: RouteOptions,
): FastifySchema {
  const { form, ...rest } = schema ?? {};
  const { body = form, querystring } = rest;
  const access = config?.access ?? { by: "anyone" };
  const scope =
    access.by === "operator" ? scopeOf(String(method), { schema: rest, config }) : undefined;
  return {
    ...rest,
    ...(body !== undefined && { body: withDefaults(body) }),
    ...(querystring !== undefined && { querystring: withDefaults(querystring) }),
    security: securityOf(access),
    ...(access.by === "operator" && { "x-roles": rolesOf(access), "x-scope": scope }),
  };
}

/** A request's schema as clients see it: what has a default need not be sent. */
function withDefaults(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withDefaults);
  if (typeof schema !== "object" || schema === null) return schema;
  const { required, properties = {} } = schema as {
    required?: unknown;
    properties?: Record<string, { default?: unknown }>;
  };
  const entries = Object.entries(schema).map(([name, value]) => [
    name,
    isValue.has(name) ? (value as unknown) : withDefaults(value),
  ]);
  return {
    ...Object.fromEntries(entries),
    ...(Array.isArray(required) && {
      required: required.filter((name: string) => properties[name]?.default === undefined),
    }),
  };
}

/** Words of JSON Schema whose values are no schemas. */
const isValue = new Set(["default", "examples", "const", "enum", "required"]);

function securityOf({ by }: Access): Record<string, string[]>[] {
  switch (by) {
    case "anyone":
      return [];
    case "vehicle":
      return [{ vehicle: [] }];
    case "operator":
      return [{ operator: [] }];
    case "vehicle or operator":
      return [{ vehicle: [] }, { operator: [] }];
  }
}

function rolesOf({ roles }: Extract<Access, { by: "operator" }>): readonly string[] {
  return roles === undefined ? everyRole : [...new Set([...roles, "admin"])];
}

interface Operation {
  operationId?: string;
  parameters?: { in: string }[];
  requestBody?: Response;
  security?: object[];
  responses: Record<string, Response>;
}
interface Response {
  $ref?: string;
  content?: Record<string, { schema?: ExampleSchema; example?: unknown }>;
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: object;
}

/** Statuses of refusals that an operation describes one by one; the rest is its `default`. */
const statuses = [400, 401, 403, 404, 413, 415, 429, 503];

/** What every operation has: its name and its refusals. */
function complete(document: Document): Document {
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      // A route for two methods has one operation in both places.
      operations[method] = described(operation, method, path);
    }
  }
  return {
    ...document,
    components: {
      ...document.components,
      schemas: { Problem: describedProblem() },
      responses: Object.fromEntries(
        [...statuses.map(String), "default"].map((name) => [responseName(name), refusal(name)]),
      ),
    },
  };
}

function described(operation: Operation, method: string, path: string): Operation {
  return {
    ...operation,
    operationId: nameOf(operation, method, path),
    ...(operation.requestBody && { requestBody: exemplified(operation.requestBody) }),
    responses: {
      ...Object.fromEntries(
        Object.entries(operation.responses).map(([status, each]) => [status, exemplified(each)]),
      ),
      ...refusalsOf(operation),
    },
  };
}

/** With an example of each JSON body and form. */
function exemplified<Described extends Response>(described: Described): Described {
  if (described.content === undefined) return described;
  const content = Object.entries(described.content).map(([type, media]) => {
    const isShown = media.schema !== undefined && /[/+]json$|^multipart/.test(type);
    return [
      type,
      isShown ? { ...media, example: media.example ?? exampleOf(media.schema ?? {}) } : media,
    ];
  });
  return { ...described, content: Object.fromEntries(content) as Described["content"] };
}

function nameOf({ operationId: own, responses }: Operation, method: string, path: string): string {
  if (own === undefined) {
    const body = responses["200"]?.content?.["application/json"]?.schema;
    return operationId(method, path, body?.properties?.["items"] !== undefined);
  }
  return method === "head" ? own.replace(/^./, (letter) => `head${letter.toUpperCase()}`) : own;
}

function refusalsOf(operation: Operation): Record<string, Response> {
  const refusals = statuses.filter(
    (status) => mayAnswer(operation, status) && !(status in operation.responses),
  );
  return Object.fromEntries(
    [...refusals.map(String), "default"].map((name) => [
      name,
      { $ref: `#/components/responses/${responseName(name)}` },
    ]),
  );
}

function mayAnswer(operation: Operation, status: number): boolean {
  const { parameters = [], requestBody, security = [] } = operation;
  switch (status) {
    case 400:
      return parameters.length > 0 || requestBody !== undefined;
    case 401:
    case 403:
      return security.length > 0;
    case 404:
      return parameters.some((each) => each.in === "path");
    case 413:
    case 415:
      return requestBody !== undefined;
    default:
      return true;
  }
}

function responseName(name: string): string {
  return name === "default" ? "Problem" : `Problem${name}`;
}

function refusal(name: string): object {
  const status = Number(name);
  const codes = Object.entries(problems)
    .filter(([, problem]) => problem.status === status)
    .map(([code]) => code);
  const schema = { $ref: "#/components/schemas/Problem" };
  const isLater = status === 429 || status === 503;
  return {
    description:
      codes.length > 0 ? codes.map((code) => `\`${code}\``).join(", ") : "Any other refusal",
    ...((isLater || name === "default") && {
      headers: {
        "Retry-After": {
          description: "In how many seconds the same may be granted",
          required: isLater,
          schema: { type: "integer", minimum: 1 },
        },
      },
    }),
    content: {
      "application/problem+json": {
        schema:
          codes.length > 0
            ? { ...schema, properties: { status: { const: status }, code: { enum: codes } } }
            : schema,
      },
    },
  };
}

function describedProblem(): object {
  const schema = structuredClone(Problem) as { properties: Record<string, object> };
  return {
    ...schema,
    properties: {
      ...schema.properties,
      code: { ...schema.properties["code"], enum: Object.keys(problems) },
    },
  };
}
