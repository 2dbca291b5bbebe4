import Type from "typebox";
import { ProblemError } from "#protocol/api/problem.ts";
import {
  OnlineKeys,
  PendingTargets,
  PublishedMetadata,
  Rehearsal,
  TrustStatus,
  SignedMetadata,
} from "#protocol/api/trust.ts";
import { CanonicalJsonError } from "#protocol/uptane/canonical-json.ts";
import { MAX_METADATA_BYTES } from "#protocol/uptane/metadata.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { makeKeys, nextKeys } from "./key-rotation.ts";
import { publishMetadata } from "./publication.ts";
import { pendingTargets } from "./published-images.ts";
import { rehearse } from "./rehearsal.ts";
import { statusOf } from "./status.ts";
import type { TrustDeps } from "./trust.ts";

const tags = ["uptane"];
const Repository = Type.Object({
  repository: Type.Union([Type.Literal("director"), Type.Literal("image")]),
});
const reading = { access: { by: "operator" } } as const;
const writing = { access: { by: "operator", roles: ["release_manager"] } } as const;
/** More would not fit into one answer; what is signed makes room for the rest. */
const MAX_PENDING = 10_000;

/** What an operator and the offline ceremony need of the gateway. */
export function trustRoutes(deps: TrustDeps) {
  return async (http: Http): Promise<void> => {
    status(http, deps);
    keys(http, deps);
    await http.register(async (scope) => {
      const taking = scope as unknown as Http;
      takeBytes(taking);
      publication(taking, deps);
      rehearsal(taking, deps);
    });
  };
}

function status(http: Http, deps: TrustDeps): void {
  http.get(
    "/uptane/status",
    {
      config: reading,
      schema: {
        tags,
        summary: "What is published, until when, and which roots vehicles hold",
        response: { 200: TrustStatus },
      },
    },
    async () => statusOf(deps),
  );

  http.get(
    "/uptane/pending",
    {
      config: reading,
      schema: {
        tags,
        operationId: "listPendingImages",
        summary: "Images that are to be signed into the image repository's targets",
        response: { 200: PendingTargets },
      },
    },
    async (_request, reply) => {
      const pending = await pendingTargets(deps.db, MAX_PENDING);
      const targets = pending.map(({ path, file }) => ({ path, ...file }));
      // The schema's own serializer would leave out what it does not name in `custom`.
      return reply.type("application/json").serializer(JSON.stringify).send(targets);
    },
  );
}

function keys(http: Http, deps: TrustDeps): void {
  http.get(
    "/uptane/keys",
    {
      config: reading,
      schema: {
        tags,
        summary: "Public keys of the online roles, for the next root to name",
        response: { 200: OnlineKeys },
      },
    },
    async () => nextKeys(deps.db),
  );

  const Role = Type.Object({
    repository: Type.Union([Type.Literal("director"), Type.Literal("image")]),
    role: Type.Union([
      Type.Literal("targets"),
      Type.Literal("snapshot"),
      Type.Literal("timestamp"),
    ]),
  });
  http.post(
    "/uptane/keys/rotate",
    {
      config: writing,
      schema: {
        tags,
        summary: "Makes new keys for an online role; they sign once a published root names them",
        body: Role,
        response: { 201: OnlineKeys },
      },
    },
    async (request, reply) => {
      const { repository, role } = request.body;
      await makeKeys(deps, repository, role);
      const operator = callingOperator(request).name;
      deps.log.info({ operator, repository, role }, "New keys for an online role were made");
      return reply.code(201).send(await nextKeys(deps.db));
    },
  );
}

/** A signed file is taken as its bytes, to the last blank. */
function takeBytes(http: Http): void {
  http.removeContentTypeParser("application/json");
  http.addContentTypeParser(
    "application/json",
    { parseAs: "buffer" },
    async (_request: unknown, body: Buffer) => body,
  );
}

const bodyLimit = Math.max(...Object.values(MAX_METADATA_BYTES));

function publication(http: Http, deps: TrustDeps): void {
  http.post(
    "/uptane/:repository/metadata",
    {
      config: writing,
      bodyLimit,
      schema: {
        tags,
        operationId: "publishMetadata",
        summary: "Publishes a signed root or image targets, once a client would take them",
        consumes: ["application/json"],
        form: SignedMetadata,
        params: Repository,
        querystring: Type.Object({
          role: Type.Optional(
            Type.String({ minLength: 1, maxLength: 200, description: "Of delegated targets" }),
          ),
        }),
        response: { 200: PublishedMetadata },
      },
    },
    async (request) => {
      const { repository } = request.params;
      const bytes = bodyOf(request.body);
      const submission = { repository, role: request.query.role, bytes };
      const published = await refusing(() => publishMetadata(deps, submission, new Date()));
      const operator = callingOperator(request).name;
      deps.log.info({ operator, ...published }, "Signed metadata was published");
      return published;
    },
  );
}

function rehearsal(http: Http, deps: TrustDeps): void {
  http.post(
    "/uptane/:repository/rehearsal",
    {
      config: writing,
      bodyLimit: MAX_METADATA_BYTES.root,
      schema: {
        tags,
        operationId: "rehearseRoot",
        summary: "What publishing this root would do to the vehicles, by the root they hold",
        consumes: ["application/json"],
        form: SignedMetadata,
        params: Repository,
        response: { 200: Rehearsal },
      },
    },
    async ({ params, body }) => {
      const bytes = bodyOf(body);
      const roots = await refusing(() => rehearse(deps, params.repository, bytes, new Date()));
      const count = (wanted: string) =>
        roots
          .filter(({ outcome }) => outcome === wanted)
          .reduce((sum, { vehicles }) => sum + vehicles, 0);
      return {
        goes_on: count("goes_on"),
        waits: count("waits"),
        stranded: count("stranded"),
        unknown: count("unknown"),
        roots,
      };
    },
  );
}

/** Without Content-Type there is no body. */
function bodyOf(body: unknown): Buffer {
  if (!Buffer.isBuffer(body) || body.length === 0) throw new ProblemError("REQUEST_MALFORMED");
  return body;
}

/** A refusal by the code that a client would give. */
async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UptaneError || error instanceof CanonicalJsonError) {
      throw new ProblemError("METADATA_REFUSED", error.message, undefined, error.code);
    }
    throw error;
  }
}
