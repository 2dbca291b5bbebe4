import { describe, expect, it } from "vitest";
import { apiContract } from "./api-contract.ts";

const car = {
  type: "object",
  required: ["vin", "wheels"],
  properties: {
    vin: { type: "string", examples: ["VMG-001"] },
    wheels: { type: "array", items: { type: "object", properties: { bar: { type: "number" } } } },
    notes: { type: "object", properties: {} },
  },
};
const contract = apiContract({
  paths: {
    "/cars": { get: { responses: { 200: { content: { "text/csv": {} } } } } },
    "/cars/{vin}": {
      get: {
        responses: {
          200: { content: { "application/json": { schema: car } } },
          default: { $ref: "#/components/responses/Problem" },
        },
      },
      delete: { responses: { 204: {} } },
    },
  },
  components: {
    schemas: { Problem: { type: "object", properties: { code: {}, status: {} } } },
    responses: {
      Problem: {
        content: {
          "application/problem+json": {
            schema: {
              $ref: "#/components/schemas/Problem",
              properties: { code: { enum: ["CAR_UNKNOWN", "ROUTE_UNKNOWN"] } },
            },
          },
        },
      },
    },
  },
});

const check = (request: string, status: number, type: string | undefined, body: unknown = "") => {
  const [method = "", path = ""] = request.split(" ");
  const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return () => contract.check(method, path, { status, headers: { "content-type": type }, bytes });
};
const json = "application/json; charset=utf-8";
const problem = "application/problem+json";

describe("an answer", () => {
  it.each([
    ["as described", check("GET /cars/1?x=1", 200, json, { vin: "1", wheels: [{ bar: 2 }] })],
    [
      "with anything in what is open",
      check("GET /cars/1", 200, json, { vin: "1", wheels: [], notes: { a: 1 } }),
    ],
    ["to HEAD", check("HEAD /cars/1", 200, json)],
    ["without a body", check("DELETE /cars/1", 204, undefined)],
    ["that is a file", check("GET /cars", 200, "text/csv; header=present", "vin\n")],
    ["that refuses", check("GET /cars/1", 404, problem, { code: "CAR_UNKNOWN" })],
    ["of no route", check("GET /bikes", 404, problem, { code: "ROUTE_UNKNOWN" })],
    ["of the description", check("GET /docs/json", 200, json, {})],
  ])("%s is taken", (_, checking) => {
    expect(checking).not.toThrow();
  });

  it.each([
    ["a status", check("DELETE /cars/1", 200, undefined), /there is no such answer/],
    ["a route", check("GET /bikes", 200, json, {}), /there is no such answer/],
    ["a media type", check("GET /cars", 200, json, []), /media type "application\/json"/],
    ["a body", check("DELETE /cars/1", 204, undefined, "done"), /it has a body/],
    ["a member", check("GET /cars/1", 200, json, { vin: "1", wheels: [], a: 1 }), /"a"/],
    [
      "a member within",
      check("GET /cars/1", 200, json, { vin: "1", wheels: [{ psi: 1 }] }),
      /\/wheels\/0 .*"psi"/,
    ],
    ["no JSON", check("GET /cars/1", 200, json, "{"), /the body must be object/],
    ["less than it must", check("GET /cars/1", 200, json, { vin: "1" }), /wheels/],
    ["a code", check("GET /cars/1", 404, problem, { code: "OTHER" }), /\/code must be equal/],
  ])("with %s that is not described is told", (_, checking, message) => {
    expect(checking).toThrow(message);
  });
});
