import type { FastifyReply, FastifyRequest } from "fastify";
import Type from "typebox";
import { VehicleId } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { callingVehicle } from "#server/http/access.ts";
import { file, NotModified } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { evaluatePreconditions } from "#server/http/preconditions.ts";
import type { Director } from "./director.ts";
import { issuedFile } from "./director-queries.ts";
import { noteRoot } from "./queries.ts";
import { asServed, cacheServedFiles, type ServedFile, type ServedFiles } from "./served-files.ts";
import type { TrustDeps } from "./trust.ts";

const tags = ["uptane"];
const answers = { 200: file("The signed file", "application/json"), 304: NotModified };
const File = Type.String({ maxLength: 256, examples: ["timestamp.json", "2.root.json"] });

/** The two repositories, file by file, as a client's workflow asks for them. */
export function metadataRoutes(base: TrustDeps & { director: Director }) {
  const deps = { ...base, files: cacheServedFiles(base.db) };
  return async (http: Http): Promise<void> => {
    http.get(
      "/uptane/image/:file",
      {
        config: { access: { by: "vehicle or operator" } },
        schema: {
          tags,
          operationId: "getImageRepositoryFile",
          summary: "A file of the image repository",
          params: Type.Object({ file: File }),
          response: answers,
        },
      },
      async (request, reply) => {
        const asked = parseFile(request.params.file);
        await noteAsked(deps, request, "image", asked);
        return send(
          request,
          reply,
          asked,
          await deps.files.find("image", asked.role, asked.version),
        );
      },
    );

    http.get(
      "/uptane/director/:file",
      {
        config: { access: { by: "vehicle" } },
        schema: {
          tags,
          operationId: "getDirectorFile",
          summary: "A file of the director, for the calling vehicle",
          params: Type.Object({ file: File }),
          response: answers,
        },
      },
      async (request, reply) => {
        const asked = parseFile(request.params.file);
        await noteAsked(deps, request, "director", asked);
        return send(
          request,
          reply,
          asked,
          await directorFile(deps, callingVehicle(request), asked),
        );
      },
    );

    http.get(
      "/uptane/director/:vin/:file",
      {
        config: { access: { by: "vehicle or operator" } },
        schema: {
          tags,
          operationId: "getVehicleDirectorFile",
          summary: "A file of the director, as this vehicle gets it",
          params: Type.Object({ vin: VehicleId, file: File }),
          response: answers,
        },
      },
      async (request, reply) => {
        const asked = parseFile(request.params.file);
        await noteAsked(deps, request, "director", asked);
        return send(request, reply, asked, await directorFile(deps, request.params.vin, asked));
      },
    );
  };
}

interface Asked {
  role: string;
  /** None for the timestamp, of which there is one. */
  version?: number;
}

/** @throws ProblemError METADATA_UNKNOWN for a name that no repository with consistent snapshots has */
function parseFile(file: string): Asked {
  if (file === "timestamp.json") return { role: "timestamp" };
  const [, version, role] = /^([1-9]\d{0,14})\.(.+)\.json$/s.exec(file) ?? [];
  // PostgreSQL's text holds no NUL, so neither does a role.
  if (role === undefined || role === "timestamp" || role.includes("\0"))
    throw new ProblemError("METADATA_UNKNOWN", file);
  return { role, version: Number(version) };
}

/** Who asks for root N has root N - 1, if that was ever served, and will keep it if N is refused. */
async function noteAsked(
  { db }: TrustDeps,
  { caller }: FastifyRequest,
  repository: RepositoryName,
  { role, version = 0 }: Asked,
): Promise<void> {
  if (caller.kind !== "vehicle" || role !== "root" || version < 2) return;
  await noteRoot(db, caller.vin, repository, version - 1);
}

async function directorFile(
  { db, director, files }: TrustDeps & { director: Director; files: ServedFiles },
  vin: string,
  { role, version }: Asked,
): Promise<ServedFile | undefined> {
  if (version === undefined) return asServed(await director.timestamp(vin));
  if (role === "root") return files.find("director", role, version);
  if (role !== "snapshot" && role !== "targets") return undefined;
  const bytes = await issuedFile(db, vin, role, version);
  return bytes && asServed(bytes);
}

/** @throws ProblemError METADATA_UNKNOWN, PRECONDITION_FAILED */
function send(
  request: FastifyRequest,
  reply: FastifyReply,
  { role, version }: Asked,
  file: ServedFile | undefined,
) {
  if (file === undefined) {
    throw new ProblemError("METADATA_UNKNOWN", version === undefined ? role : `${version}.${role}`);
  }
  const { bytes, etag } = file;
  const { "if-match": ifMatch, "if-none-match": ifNoneMatch } = request.headers;
  // Of what has a number there is one for ever; a vehicle's own is for no one else's cache.
  const age = version === undefined ? "no-cache" : "max-age=31536000, immutable";
  void reply.headers({
    etag,
    "cache-control": `private, ${age}`,
    "content-type": "application/json",
  });
  if (evaluatePreconditions(etag, { ifMatch, ifNoneMatch }) === "not modified") {
    return reply.code(304).send();
  }
  return reply.send(bytes);
}
