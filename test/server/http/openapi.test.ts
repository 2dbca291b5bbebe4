import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { problems } from "#protocol/api/problem.ts";
import { strictValidator, type ApiDocument, type Schema } from "#test/helpers/api-contract.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";

interface Media {
  schema: Schema;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}
interface Operation {
  operationId: string;
  summary?: string;
  tags?: string[];
  security?: object[];
  parameters?: (Media & { name: string; required: boolean })[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { $ref?: string; content?: Record<string, Media> }>;
}

let gateway: TestGateway;
let document: ApiDocument & { tags: { name: string }[] };
let operations: (readonly [name: string, Operation])[];

beforeAll(async () => {
  gateway = await startGateway();
  document = (await gateway.admin.send("GET", "/docs/json")).json;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]) =>
        [`${method.toUpperCase()} ${path}`, operation as unknown as Operation] as const,
    ),
  );
});
afterAll(() => gateway.close());

/** Names of those operations of which something does not hold. */
function without(holds: (operation: Operation, name: string) => boolean): string[] {
  return operations.filter(([name, each]) => !holds(each, name)).map(([name]) => name);
}

describe("the description of the API", () => {
  it("is valid OpenAPI 3.1", async () => {
    expect(document).toMatchObject({ openapi: "3.1.0" });
    expect(await new Validator().validate({ ...document })).toEqual({ valid: true });
  });

  it("is shown as pages", async () => {
    const page = await gateway.admin.send("GET", "/docs/");
    expect([page.status, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
  });
});

describe("every operation", () => {
  it("has a name of its own, as code has names", () => {
    expect(operations.length).toBeGreaterThan(150);
    const names = operations.map(([, { operationId }]) => operationId);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(names.filter((name) => !/^[a-z]+(?:[A-Z][a-z]+)*$/.test(name))).toEqual([]);
    expect(names).toEqual(
      expect.arrayContaining(["listFirmware", "getVehicle", "createPolicy", "startCampaign"]),
    );
  });

  it("says in a line what it does, and who may", () => {
    expect(without(({ summary }) => summary !== undefined && !summary.includes("\n"))).toEqual([]);
    expect(without(({ security }) => security !== undefined)).toEqual([]);
    expect(Object.fromEntries(operations)["DELETE /api/v1/operators/tokens/{token_id}"]).toEqual(
      expect.objectContaining({
        security: [{ operator: [] }],
        "x-roles": ["admin"],
        "x-scope": "operators:write",
      }),
    );
    expect(Object.fromEntries(operations)["POST /api/v1/campaigns"]).toMatchObject({
      "x-roles": ["campaign_manager", "admin"],
    });
  });

  it("has one tag, which is described", () => {
    const known = new Set(document.tags.map(({ name }) => name));
    expect(without(({ tags = [] }) => tags.length === 1 && known.has(tags[0] ?? ""))).toEqual([]);
    const used = new Set(operations.flatMap(([, { tags = [] }]) => tags));
    expect([...known].filter((tag) => !used.has(tag))).toEqual([]);
  });

  it("says what it answers, and what a refusal is", () => {
    const isWhole = ([status, { content, $ref }]: [string, Operation["responses"][string]]) =>
      ["204", "304"].includes(status) ? content === undefined : (content ?? $ref) !== undefined;
    expect(
      without(
        ({ responses }) =>
          Object.keys(responses).some((status) => status.startsWith("2")) &&
          Object.entries(responses).every(isWhole),
      ),
    ).toEqual([]);
    expect(
      without(({ responses }) => responses["default"]?.$ref === "#/components/responses/Problem"),
    ).toEqual([]);
  });

  it("asks for nothing that has a default", () => {
    expect(
      without(({ parameters = [] }) =>
        parameters.every(({ required, schema }) => !required || !("default" in schema)),
      ),
    ).toEqual([]);
  });

  it("shows examples that are what they are examples of", () => {
    const wrong: string[] = [];
    const hold = (name: string, { schema, example, examples = {} }: Media) => {
      const shown = [example, ...Object.values(examples).map(({ value }) => value)];
      const check = strictValidator(document, schema);
      for (const value of shown.filter((each) => each !== undefined)) {
        wrong.push(...check(value).map((error) => `${name}: ${error}`));
      }
    };
    for (const [name, { parameters = [], requestBody, responses }] of operations) {
      for (const parameter of parameters) hold(`${name} ?${parameter.name}`, parameter);
      for (const body of [requestBody, ...Object.values(responses)]) {
        for (const [type, media] of Object.entries(body?.content ?? {})) {
          if (!/json$|^multipart/.test(type) || type === "application/x-ndjson") continue;
          if (media.example === undefined) wrong.push(`${name} has no example of ${type}`);
          hold(name, media);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe("a refusal", () => {
  it("is described with the codes of its status", () => {
    const codes = Object.entries(problems).filter(([, { status }]) => status === 429);
    expect(document.components.responses["Problem429"]).toMatchObject({
      headers: { "Retry-After": { required: true } },
      content: {
        "application/problem+json": {
          schema: { properties: { code: { enum: codes.map(([code]) => code) } } },
        },
      },
    });
  });
});
