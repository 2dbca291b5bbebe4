import { randomUUIDv7 } from "node:crypto";
import Type from "typebox";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { CertificateRecord, RevokeAnswer, RevokeRequest } from "#protocol/api/certificate.ts";
import { Timestamp, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { callingOperator } from "#server/http/access.ts";
import { file } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { hashToken } from "#server/operators/token.ts";
import { newEnrollmentToken } from "./enrollment-token.ts";
import { insertEnrollmentToken, listCertificates } from "./queries.ts";
import type { RevocationLists } from "./revocation-list.ts";
import { revoke, type RevocationDeps } from "./revocation.ts";

const tags = ["certificates"];
const adminOnly = { access: { by: "operator", roles: ["admin"] } } as const;

export interface CertificateDeps extends RevocationDeps {
  lists: RevocationLists;
}

/** Operators' side of vehicles' certificates: enrolment tokens, the record, revocation. */
export function certificateRoutes(deps: CertificateDeps) {
  return async (http: Http): Promise<void> => {
    tokens(http, deps);
    record(http, deps);
    revocation(http, deps);
  };
}

const HOUR = 3_600_000;
const DEFAULT_HOURS = 24;
const MOST_HOURS = 30 * 24;

function tokens(http: Http, { db }: CertificateDeps): void {
  http.post(
    "/certificates/enrollment-tokens",
    {
      config: adminOnly,
      schema: {
        tags,
        summary: "Makes a token by which one vehicle can be issued a certificate, once",
        body: Type.Object(
          {
            vin: VehicleId,
            expires_at: Type.Optional(
              Type.String({ ...Timestamp, description: "Default in 24 hours, at most in 30 days" }),
            ),
          },
          { additionalProperties: false },
        ),
        response: {
          201: Type.Object({
            token_id: Uuid,
            vin: VehicleId,
            token: Type.String({ description: "Shown only now" }),
            expires_at: Timestamp,
          }),
        },
      },
    },
    async (request, reply) => {
      const { vin, expires_at } = request.body;
      const now = Date.now();
      const expires =
        expires_at === undefined ? now + DEFAULT_HOURS * HOUR : Date.parse(expires_at);
      if (!(expires > now && expires <= now + MOST_HOURS * HOUR)) {
        throw new ProblemError("REQUEST_INVALID", "expires_at must be ahead, by 30 days at most");
      }
      const token = newEnrollmentToken();
      const token_id = randomUUIDv7();
      await insertEnrollmentToken(db, {
        token_id,
        vin,
        token_sha256: hashToken(token),
        created_by: callingOperator(request).name,
        expires_at: new Date(expires),
      });
      const answer = { token_id, vin, token, expires_at: new Date(expires).toISOString() };
      return reply.code(201).send(answer);
    },
  );
}

function record(http: Http, { db }: CertificateDeps): void {
  http.get(
    "/certificates",
    {
      config: { access: { by: "operator" } },
      schema: {
        tags,
        summary: "Vehicles' certificates on record, newest first",
        querystring: Type.Object({
          ...PageQuery(Uuid).properties,
          vin: Type.Optional(VehicleId),
          revoked: Type.Optional(Type.Boolean()),
        }),
        response: { 200: Page(CertificateRecord) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        await listCertificates(db, { ...query, limit: query.limit + 1 }),
        ({ certificate_id }) => certificate_id,
      ),
  );
}

function revocation(http: Http, deps: CertificateDeps): void {
  http.post(
    "/certificates/revoke",
    {
      config: adminOnly,
      schema: {
        tags,
        summary: "Revokes a certificate, or all on record of a vehicle; open connections are cut",
        body: RevokeRequest,
        response: { 200: RevokeAnswer },
      },
    },
    (request) => revoke(deps, request.body, callingOperator(request).name),
  );

  http.get(
    "/certificates/crl",
    {
      // Whoever verifies a certificate may see which ones are revoked; it holds serial numbers only.
      config: { access: { by: "anyone" } },
      schema: {
        tags,
        summary: "The certificate revocation list (RFC 5280, DER) of one issuing authority",
        querystring: Type.Object({
          algorithm: Type.Enum(KeyAlgorithm, {
            default: "ecdsa-p256",
            description: "Names the authority: each certifies keys of its own kind",
          }),
        }),
        response: { 200: file("The list", "application/pkix-crl") },
      },
    },
    async ({ query }, reply) => {
      const list = await deps.lists.current(query.algorithm);
      return reply.type("application/pkix-crl").header("cache-control", "no-cache").send(list);
    },
  );
}
