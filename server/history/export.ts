import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import Type from "typebox";

export const ExportFormat = Type.Enum(["csv", "json"], {
  default: "json",
  description: "json: a JSON object a line",
});
export type ExportFormat = "csv" | "json";

/** The media types of both. */
export const exportTypes = ["application/x-ndjson", "text/csv"];

const types: Record<ExportFormat, string> = {
  csv: "text/csv; charset=utf-8; header=present",
  json: "application/x-ndjson",
};

/** Answers with a file of its own, as much of it at once as the reader takes. */
export function sendExport(
  { method }: FastifyRequest,
  reply: FastifyReply,
  { name, format }: { name: string; format: ExportFormat },
  text: AsyncIterable<string>,
): FastifyReply {
  void reply
    .type(types[format])
    .header("content-disposition", `attachment; filename="${name}.${format}"`);
  // It would be read to its end for nobody.
  if (method === "HEAD") return reply.send();
  return reply.send(Readable.from(text, { objectMode: false }));
}

/** Rows by pages, from behind the last of the page before on. */
export async function* pages<Row>(
  read: (after: Row | undefined) => Promise<Row[]>,
): AsyncGenerator<Row[]> {
  let after: Row | undefined;
  for (;;) {
    const rows = await read(after);
    if (rows.length === 0) return;
    yield rows;
    after = rows.at(-1);
  }
}

/** Rows that are read at once. */
export const EXPORT_ROWS = 500;
