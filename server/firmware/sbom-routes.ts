import Type from "typebox";
import { Uuid } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { SbomHead, SbomSummary } from "#protocol/api/sbom.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator } from "#server/http/access.ts";
import { file, NoContent, NotModified } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { evaluatePreconditions } from "#server/http/preconditions.ts";
import { firmwareById } from "./queries.ts";
import { MAX_SBOM_BYTES, readSbom } from "./sbom.ts";
import { removeSbom, sbomOf, storeSbom } from "./sbom-queries.ts";

const tags = ["firmware"];
const Id = Type.Object({ firmware_id: Uuid });
const path = "/firmware/:firmware_id/sbom";
const writing = { access: { by: "operator", roles: ["release_manager"] } } as const;
const CYCLONEDX = "application/vnd.cyclonedx+json";

/** What an image consists of, as its maker says. */
export function sbomRoutes(db: Db) {
  return async (http: Http): Promise<void> => {
    reading(http, db);
    await http.register(async (scope) => taking(scope as unknown as Http, db));

    http.delete(
      path,
      {
        config: writing,
        schema: {
          tags,
          summary: "Removes the SBOM of a firmware",
          params: Id,
          response: { 204: NoContent },
        },
      },
      async ({ params }, reply) => {
        if (!(await removeSbom(db, params.firmware_id)))
          throw await missing(db, params.firmware_id);
        return reply.code(204).send();
      },
    );
  };
}

function taking(http: Http, db: Db): void {
  // Kept as its bytes, which its maker may have signed.
  http.removeAllContentTypeParsers();
  http.addContentTypeParser(
    ["application/json", CYCLONEDX],
    { parseAs: "buffer" },
    async (_request: unknown, body: Buffer) => body,
  );
  http.put(
    path,
    {
      config: writing,
      bodyLimit: MAX_SBOM_BYTES,
      schema: {
        tags,
        summary: "Attaches an SBOM, CycloneDX 1.5 to 1.7 in JSON; it takes the place of another",
        consumes: [CYCLONEDX, "application/json"],
        params: Id,
        form: SbomHead,
        response: { 200: SbomSummary },
      },
    },
    async (request) => {
      const { firmware_id } = request.params;
      const { body } = request as { body: unknown };
      if (!Buffer.isBuffer(body)) throw new ProblemError("REQUEST_MALFORMED");
      const sbom = { ...readSbom(body), document: body };
      const stored = await storeSbom(db, firmware_id, sbom, callingOperator(request).name);
      if (stored === undefined) throw new ProblemError("FIRMWARE_UNKNOWN", firmware_id);
      return stored;
    },
  );
}

function reading(http: Http, db: Db): void {
  http.get(
    path,
    {
      config: { access: { by: "operator" } },
      schema: {
        tags,
        summary: "The SBOM of a firmware, byte for byte as it was attached",
        params: Id,
        response: { 200: file("The SBOM", CYCLONEDX), 304: NotModified },
      },
    },
    async ({ params, headers }, reply) => {
      const stored = await sbomOf(db, params.firmware_id);
      if (stored === undefined) throw await missing(db, params.firmware_id);
      const etag = `"${stored.sha256}"`;
      const { "if-match": ifMatch, "if-none-match": ifNoneMatch } = headers;
      const state = evaluatePreconditions(etag, { ifMatch, ifNoneMatch });
      void reply.header("etag", etag);
      if (state === "not modified") return reply.code(304).send();
      return reply.type(CYCLONEDX).send(stored.document);
    },
  );
}

async function missing(db: Db, firmwareId: string): Promise<ProblemError> {
  const known = await firmwareById(db, firmwareId);
  return new ProblemError(known ? "SBOM_UNKNOWN" : "FIRMWARE_UNKNOWN", firmwareId);
}
