import Type, { type TSchema } from "typebox";

declare module "fastify" {
  interface FastifySchema {
    /** The body of a route that reads it by itself: described, not validated by Fastify. */
    form?: TSchema;
  }
}

/** An answer without a body: `response: { 204: NoContent }`. */
export const NoContent = Type.Unsafe<undefined>(Type.Null({ description: "Done" }));

/** The answer to `If-None-Match` of whoever has the file already. */
export const NotModified = Type.Unsafe<undefined>(
  Type.Null({ description: "The file is the one that the client has" }),
);

/** A file that is answered as its bytes. */
export function file(description: string, mediaType: string) {
  const schema = mediaType.endsWith("json")
    ? { type: "object", additionalProperties: true }
    : { type: "string", format: "binary" };
  return Type.Unsafe<unknown>({ description, content: { [mediaType]: { schema } } });
}

/** Text that is answered line by line, in one of these forms. */
export function text(description: string, ...mediaTypes: string[]) {
  const schema = { type: "string" };
  return Type.Unsafe<unknown>({
    description,
    content: Object.fromEntries(mediaTypes.map((each) => [each, { schema }])),
  });
}

/** Server-sent events, for as long as the client listens. */
export const EventStream = text("Events as they come", "text/event-stream");
