import type { OutgoingHttpHeaders } from "node:http";
import { pipeline } from "node:stream/promises";
import Type from "typebox";
import type { FastifyReply } from "fastify";
import { ProblemError } from "#protocol/api/problem.ts";
import { packageLayout, type PackageLayout } from "#protocol/package/layout.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import type { Db } from "#server/database/connection.ts";
import { callingVehicle } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { selectRange } from "#server/http/range.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Package } from "./package.ts";
import { assignedUntil, packageById } from "./queries.ts";
import { packageBytes, verifyBlobs } from "./stream.ts";

export interface PackageDeps {
  db: Db;
  blobs: BlobStore;
  metrics: Metrics;
}

export function packageRoutes(deps: PackageDeps) {
  return async (http: Http): Promise<void> => {
    http.route({
      method: ["GET", "HEAD"],
      url: "/ota/package/:package_id",
      config: { access: { by: "vehicle" } },
      schema: {
        tags: ["ota"],
        summary: "Downloads a package that was assigned to the calling vehicle; resumable",
        params: Type.Object({ package_id: Type.String({ pattern: "^pkg-[0-9a-f]{32}$" }) }),
        produces: ["application/x-tar"],
      },
      handler: async (request, reply) => {
        const found = await assigned(deps.db, callingVehicle(request), request.params.package_id);
        const isHead = request.method === "HEAD";
        const layout = packageLayout(found.manifest, found.signatures);
        // Before any header is set: a refusal must not carry those of the file.
        if (!isHead) await verifyBlobs(layout, deps.blobs);
        const { range, "if-range": ifRange, "if-none-match": ifNoneMatch } = request.headers;
        const etag = `"${found.sha256}"`;
        void reply
          .header("accept-ranges", "bytes")
          .header("etag", etag)
          .header("cache-control", "private, immutable")
          .header("content-type", "application/x-tar")
          .header("content-disposition", `attachment; filename="${found.package_id}.tar"`);
        if (ifNoneMatch === etag) return reply.code(304).send();
        // RFC 9110 §14.2: Range has a meaning for GET only.
        return send(reply, layout, deps, {
          etag,
          isHead,
          range: isHead ? undefined : range,
          ifRange,
        });
      },
    });
  };
}

/** @throws ProblemError PACKAGE_UNKNOWN, PACKAGE_NOT_ASSIGNED, PACKAGE_EXPIRED */
async function assigned(db: Db, vin: string, packageId: string): Promise<Package> {
  const [found, until] = await Promise.all([
    packageById(db, packageId),
    assignedUntil(db, vin, packageId),
  ]);
  if (found === undefined) throw new ProblemError("PACKAGE_UNKNOWN", packageId);
  if (until === undefined) throw new ProblemError("PACKAGE_NOT_ASSIGNED", packageId);
  if (until.getTime() <= Date.now())
    throw new ProblemError("PACKAGE_EXPIRED", "ask for the package again");
  return found;
}

async function send(
  reply: FastifyReply,
  layout: PackageLayout,
  { blobs, metrics }: PackageDeps,
  asked: {
    etag: string;
    isHead: boolean;
    range: string | undefined;
    ifRange: string | string[] | undefined;
  },
) {
  const ifRange = Array.isArray(asked.ifRange) ? asked.ifRange[0] : asked.ifRange;
  const selection = selectPart(reply, layout.length, { ...asked, ifRange });
  const { start, end } = selection;
  void reply.code(selection.status).header("content-length", end - start);
  if (selection.status === 206) {
    void reply.header("content-range", `bytes ${start}-${end - 1}/${layout.length}`);
  }
  if (asked.isHead) return reply.send();
  metrics.packageBytes.inc(end - start);
  await write(reply, packageBytes(layout, blobs, selection));
}

/**
 * Sends chunks that are valid only until the next one is asked for: a pipeline asks when the socket
 * has taken the last one, as every chunk but the last fills its buffer; Fastify's own piping of a
 * stream reads ahead. An error cuts the connection, so that no part looks complete.
 */
async function write(reply: FastifyReply, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  reply.hijack();
  const { raw: response } = reply;
  response.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  try {
    await pipeline(chunks, response);
  } catch (error) {
    // A vehicle may leave whenever it likes: it resumes later.
    if ((error as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE") return;
    reply.log.error({ err: error }, "A package could not be read to its end");
    response.destroy();
  }
}

function selectPart(
  reply: FastifyReply,
  size: number,
  asked: { etag: string; range: string | undefined; ifRange: string | undefined },
): { status: 200 | 206; start: number; end: number } {
  try {
    const selection = selectRange(size, asked.etag, asked);
    return selection.status === 206
      ? { status: 206, start: selection.start, end: selection.end + 1 }
      : { status: 200, start: 0, end: size };
  } catch (error) {
    // RFC 9110 §15.5.17: tell how long the file is.
    void reply.header("content-range", `bytes */${size}`);
    throw error;
  }
}
