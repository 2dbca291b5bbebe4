/** As much of JSON Schema as the API's description is made of. */
export interface ExampleSchema {
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  examples?: unknown[];
  example?: unknown;
  anyOf?: ExampleSchema[];
  oneOf?: ExampleSchema[];
  allOf?: ExampleSchema[];
  properties?: Record<string, ExampleSchema>;
  items?: ExampleSchema;
  minimum?: number;
  maxItems?: number;
}

/**
 * A value that shows what a schema means: its own example where it has one, else one that is put
 * together from those of its members. Text without an example stands as its name.
 *
 * @param name of the member that the schema is for
 */
export function exampleOf(schema: ExampleSchema, name = "text"): unknown {
  const own = [
    schema.examples?.[0],
    schema.example,
    schema.const,
    schema.default,
    schema.enum?.[0],
  ];
  const said = own.find((each) => each !== undefined);
  if (said !== undefined) return said;
  const variants = schema.anyOf ?? schema.oneOf;
  if (schema.allOf !== undefined || (variants !== undefined && schema.properties !== undefined)) {
    const parts = [...(schema.allOf ?? []), ...(variants?.slice(0, 1) ?? [])];
    return Object.assign(
      {},
      ...parts.map((part) => exampleOf(part, name)),
      members(schema.properties),
    );
  }
  if (variants !== undefined) {
    return exampleOf(variants.find(({ type }) => type !== "null") ?? {}, name);
  }
  switch ([schema.type].flat().find((type) => type !== "null")) {
    case "object":
      return members(schema.properties);
    case "array":
      return schema.maxItems === 0 ? [] : [exampleOf(schema.items ?? {}, singular(name))];
    case "integer":
    case "number":
      return Math.max(schema.minimum ?? 1, 1);
    case "boolean":
      return true;
    case "string":
      return name.replaceAll("_", " ");
    default:
      return null;
  }
}

function members(properties: Record<string, ExampleSchema> = {}): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, exampleOf(schema, name)]),
  );
}

function singular(name: string): string {
  return name.replace(/s$/, "");
}
