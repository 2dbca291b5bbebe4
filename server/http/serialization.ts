import fastJsonStringify from "fast-json-stringify";
import type { FastifySerializerCompiler } from "fastify";

/**
 * Writes answers by their schemas. Many routes answer with the same one, above all with the same
 * problems: each is compiled once, which is most of the time that a gateway takes to start.
 */
export const serializerCompiler: FastifySerializerCompiler<object> = ({ schema }) => {
  const known = serializers.get(schema);
  if (known) return known;
  const serialize = fastJsonStringify(schema);
  serializers.set(schema, serialize);
  return serialize;
};

const serializers = new WeakMap<object, (answer: unknown) => string>();
