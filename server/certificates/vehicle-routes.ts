import type { X509Certificate } from "node:crypto";
import { TLSSocket } from "node:tls";
import type { FastifyRequest } from "fastify";
import { EnrollRequest, IssuedCertificate, RenewRequest } from "#protocol/api/certificate.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { callingVehicle, identifyVehicle } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { hashToken } from "#server/operators/token.ts";
import { enrollByToken, issueToVehicle, type IssueDeps } from "./issue.ts";

const tags = ["certificates"];

/** How a vehicle comes by its certificate: enrolment, and renewal before it expires. */
export function vehicleCertificateRoutes(deps: IssueDeps) {
  return async (http: Http): Promise<void> => {
    http.post(
      "/certificates/enroll",
      {
        // Whoever has a token need not have a certificate; the handler asks for one of the two.
        config: { access: { by: "anyone" } },
        schema: {
          tags,
          operationId: "enrollVehicle",
          summary:
            "A vehicle gets a certificate, by a one-time token or by its factory certificate",
          body: EnrollRequest,
          response: { 201: IssuedCertificate },
        },
      },
      async (request, reply) => {
        const { csr, token } = request.body;
        if (token !== undefined) {
          const tokenSha256 = hashToken(token);
          return reply.code(201).send(await enrollByToken(deps, { csr, tokenSha256 }));
        }
        const { vin } = identifyVehicle(request);
        const order = { csr, vin, shown: shownBy(request), by: "factory" };
        return reply.code(201).send(await issueToVehicle(deps, order));
      },
    );

    http.post(
      "/certificates/renew",
      {
        config: { access: { by: "vehicle" } },
        schema: {
          tags,
          operationId: "renewCertificate",
          summary:
            "A vehicle gets a new certificate under the one it has, with a new key or the same",
          body: RenewRequest,
          response: { 201: IssuedCertificate },
        },
      },
      async (request, reply) => {
        const vin = callingVehicle(request);
        const order = { csr: request.body.csr, vin, shown: shownBy(request), by: "renewal" };
        return reply.code(201).send(await issueToVehicle(deps, order));
      },
    );
  };
}

function shownBy(request: FastifyRequest): X509Certificate {
  const { socket } = request.raw;
  const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  if (shown === undefined) throw new ProblemError("CLIENT_CERTIFICATE_REQUIRED");
  return shown;
}
