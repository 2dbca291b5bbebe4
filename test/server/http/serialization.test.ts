import Type from "typebox";
import { expect, it } from "vitest";
import { serializerCompiler } from "#server/http/serialization.ts";

const route = { method: "GET", url: "/", httpStatus: "200" };

it("compiles what several routes answer once", () => {
  const schema = Type.Object({ vin: Type.String() });
  const serialize = serializerCompiler({ ...route, schema });
  expect(serialize({ vin: "VMG-001", more: 1 })).toBe('{"vin":"VMG-001"}');
  expect(serializerCompiler({ ...route, url: "/other", schema })).toBe(serialize);
  expect(serializerCompiler({ ...route, schema: { ...schema } })).not.toBe(serialize);
});
