import type { FastifySchemaCompiler } from "fastify";
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";

/**
 * Validates requests with their TypeBox schemas. Path and query arrive as text and are converted;
 * a JSON body is taken as it is, so that `"5"` is not a number there.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  return (input: unknown) => {
    const unstorable = httpPart === "body" ? undefined : fieldWithNul(input);
    if (unstorable !== undefined) return { error: [unstorable] };
    const value =
      httpPart === "body" ? validator.Default(input) : validator.Convert(validator.Default(input));
    if (validator.Check(value)) return { value };
    return {
      error: validator
        .Errors(value)
        .map(({ keyword, instancePath, schemaPath, params, message }) => ({
          keyword,
          instancePath,
          schemaPath,
          params: params as Record<string, string>,
          message,
        })),
    };
  };
};

/** U+0000 may be in a URL and is no database text; JSON that holds it is refused as it is read. */
function fieldWithNul(input: unknown) {
  const found = Object.entries(input ?? {}).find(([, value]) => String(value).includes("\0"));
  return (
    found && {
      keyword: "pattern",
      instancePath: `/${found[0]}`,
      schemaPath: "#",
      params: {},
      message: "must not contain U+0000",
    }
  );
}
