import type { OutgoingHttpHeaders } from "node:http";
import { pipeline } from "node:stream/promises";
import Type from "typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { ProblemError } from "#protocol/api/problem.ts";
import { packageLayout, type PackageLayout } from "#protocol/package/layout.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import type { Db } from "#server/database/connection.ts";
import { archivedAmong } from "#server/firmware/queries.ts";
import { callingVehicle } from "#server/http/access.ts";
import { file, NotModified } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { evaluatePreconditions } from "#server/http/preconditions.ts";
import { selectRange } from "#server/http/range.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import { limitDownloads } from "./downloads.ts";
import type { PackageFile } from "./package.ts";
import { assignedPackage } from "./queries.ts";
import { packageBytes, verifyBlobs } from "./stream.ts";

export interface PackageDeps {
  db: Db;
  blobs: BlobStore;
  metrics: Metrics;
  /** How many downloads one vehicle may have open. */
  downloadsPerVehicle: number;
}

export function packageRoutes(deps: PackageDeps) {
  const downloads = limitDownloads(deps.downloadsPerVehicle);
  return async (http: Http): Promise<void> => {
    http.route({
      method: ["GET", "HEAD"],
      url: "/ota/package/:package_id",
      config: { access: { by: "vehicle" } },
      schema: {
        tags: ["ota"],
        operationId: "downloadPackage",
        summary: "Downloads a package that was assigned to the calling vehicle; resumable",
        params: Type.Object({ package_id: Type.String({ pattern: "^pkg-[0-9a-f]{32}$" }) }),
        response: {
          200: file("The package", "application/x-tar"),
          206: file("The part of it that `Range` asks for", "application/x-tar"),
          304: NotModified,
        },
      },
      handler: async (request, reply) => {
        const vin = callingVehicle(request);
        const found = await assigned(deps.db, vin, request.params.package_id);
        const layout = packageLayout(found.manifest, found.signatures);
        await refuseWithdrawn(deps.db, layout);
        // All that may refuse comes first: a refusal must not carry the headers of the file.
        const part = selectPart(request, reply, found);
        if (request.method !== "GET" || part.status === 304) {
          describe(reply, found, part);
          return reply.send();
        }
        const end = downloads.begin(vin);
        try {
          await verifyBlobs(layout, deps.blobs);
          describe(reply, found, part);
          await send(reply, layout, part, deps);
        } finally {
          end();
        }
        return reply;
      },
    });
  };
}

/** @throws ProblemError PACKAGE_UNKNOWN, PACKAGE_NOT_ASSIGNED, PACKAGE_EXPIRED */
async function assigned(db: Db, vin: string, packageId: string): Promise<PackageFile> {
  const found = await assignedPackage(db, vin, packageId);
  if (found === undefined) throw new ProblemError("PACKAGE_UNKNOWN", packageId);
  const { expires_at, file } = found;
  if (expires_at === null) throw new ProblemError("PACKAGE_NOT_ASSIGNED", packageId);
  if (expires_at.getTime() <= Date.now() || file === null)
    throw new ProblemError("PACKAGE_EXPIRED", "ask for the package again");
  return file;
}

/** Asked for every part of it: who is in the middle gets no further. @throws ProblemError PACKAGE_WITHDRAWN */
async function refuseWithdrawn(db: Db, { manifest }: PackageLayout): Promise<void> {
  const ecus = manifest.zones.flatMap((zone) => zone.ecus);
  const [archived] = await archivedAmong(
    db,
    ecus.map(({ firmware_id }) => firmware_id),
  );
  if (archived === undefined) return;
  const { ecu_type, version } = ecus.find(({ firmware_id }) => firmware_id === archived) ?? {};
  throw new ProblemError("PACKAGE_WITHDRAWN", `${ecu_type} ${version} was archived`);
}

/** What of the file is sent, `end` exclusive; 304 is none of it. */
interface Part {
  status: 200 | 206 | 304;
  start: number;
  end: number;
}

/** @throws ProblemError PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE */
function selectPart(
  { method, headers }: FastifyRequest,
  reply: FastifyReply,
  { size, sha256 }: PackageFile,
): Part {
  const etag = `"${sha256}"`;
  const { "if-match": ifMatch, "if-none-match": ifNoneMatch, "if-range": ifRange } = headers;
  if (evaluatePreconditions(etag, { ifMatch, ifNoneMatch }) === "not modified")
    return { status: 304, start: 0, end: 0 };
  try {
    const selection = selectRange(size, etag, {
      // RFC 9110 §14.2: Range has a meaning for GET only.
      range: method === "GET" ? headers.range : undefined,
      ifRange: Array.isArray(ifRange) ? ifRange[0] : ifRange,
    });
    return selection.status === 206
      ? { status: 206, start: selection.start, end: selection.end + 1 }
      : { status: 200, start: 0, end: size };
  } catch (error) {
    // RFC 9110 §15.5.17: tell how long the file is.
    void reply.header("content-range", `bytes */${size}`);
    throw error;
  }
}

function describe(
  reply: FastifyReply,
  { package_id, size, sha256 }: PackageFile,
  { status, start, end }: Part,
): void {
  void reply.code(status).headers({ etag: `"${sha256}"`, "cache-control": "private, immutable" });
  if (status === 304) return;
  void reply.headers({
    "accept-ranges": "bytes",
    "content-type": "application/x-tar",
    "content-disposition": `attachment; filename="${package_id}.tar"`,
    "content-length": end - start,
  });
  if (status === 206) void reply.header("content-range", `bytes ${start}-${end - 1}/${size}`);
}

/**
 * Sends chunks that are valid only until the next one is asked for: a pipeline asks when the socket
 * has taken the last one, as every chunk but the last fills its buffer; Fastify's own piping of a
 * stream reads ahead. An error cuts the connection, so that no part looks complete.
 */
async function send(
  reply: FastifyReply,
  layout: PackageLayout,
  part: Part,
  { blobs, metrics }: PackageDeps,
): Promise<void> {
  reply.hijack();
  const { raw: response } = reply;
  response.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  try {
    await pipeline(packageBytes(layout, blobs, part), counted(metrics), response);
  } catch (error) {
    // A vehicle may leave whenever it likes: it resumes later.
    if ((error as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE") return;
    reply.log.error({ err: error }, "A package could not be read to its end");
    response.destroy();
  }
}

/** Counts bytes as they are sent: of a download that is cut, only what was. */
function counted({ packageBytes: sent }: Metrics) {
  return async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      yield chunk;
      sent.inc(chunk.length);
    }
  };
}
