import type { Server as TlsServer } from "node:tls";
import { randomUUIDv7 } from "node:crypto";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify, { LogController } from "fastify";
import type { ServerConfig } from "#config/server.ts";
import { serverTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { parseJson } from "#protocol/bytes/json.ts";
import { watchConnections, type TlsConnection } from "#server/runtime/connection.ts";
import type { Admission } from "#server/runtime/admission.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import type { Http } from "./http.ts";
import { guardRoutes, type Authenticate } from "./access.ts";
import { describeApi } from "./api-description.ts";
import { answerError, answerProblems } from "./problem.ts";
import { observeRequests } from "./requests.ts";
import { cutStalled } from "./stall.ts";
import { finishOnClose } from "./stop.ts";
import { answerUnreadable } from "./unreadable.ts";
import { serializerCompiler } from "./serialization.ts";
import { validatorCompiler } from "./validation.ts";

const EMPTY_BODY = "it is empty: leave out the Content-Type, or send {}";

export interface HttpDeps {
  config: Pick<ServerConfig, "https" | "tls">;
  identities: readonly TlsIdentity[];
  clientCa: string;
  log: Log;
  metrics: Metrics;
  state: StateTracker;
  admission: Admission;
  authenticate: Authenticate;
  vehicleSeen: (vin: string, connection: TlsConnection) => void;
}

/** The HTTPS listener with everything that holds for all routes; the slices add theirs. */
export async function createHttp(deps: HttpDeps): Promise<Http> {
  const { config, log } = deps;
  const http = Fastify({
    https: {
      ...serverTlsOptions({
        profiles: config.tls.profiles,
        identities: deps.identities,
        clientCa: deps.clientCa,
        // Operators come without a certificate; each route says whom it wants.
        clientCertificates: "optional",
      }),
      handshakeTimeout: config.tls.handshake_timeout_ms,
      headersTimeout: config.https.stall_timeout_ms,
      connectionsCheckingInterval: Math.min(config.https.stall_timeout_ms, 10_000),
    },
    // Fastify's own notes about listening would repeat what the start-up log says.
    loggerInstance: log.isLevelEnabled("warn") ? log.child({}, { level: "warn" }) : log,
    // Each request is logged once, when it is answered: see observeRequests.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.https.body_limit,
    forceCloseConnections: "idle",
    genReqId: () => randomUUIDv7(),
    // What fails before there is a route, such as a malformed escape in the path.
    frameworkErrors: answerError,
    // What fails before there is a request.
    clientErrorHandler: answerUnreadable(deps),
    // Fastify's own answer is no problem document: see finishOnClose.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
  } as object).withTypeProvider<TypeBoxTypeProvider>() as unknown as Http;
  watchConnections(http.server as unknown as TlsServer, { ...deps, listener: "https" });
  http.setValidatorCompiler(validatorCompiler);
  http.setSerializerCompiler(serializerCompiler);
  http.removeContentTypeParser(["application/json", "text/plain"]);
  http.addContentTypeParser(
    "application/json",
    { parseAs: "string" },
    async (_request: unknown, body: string) => {
      if (body === "") throw new ProblemError("REQUEST_MALFORMED", EMPTY_BODY);
      return parseJson(body);
    },
  );
  answerProblems(http);
  observeRequests(http, deps);
  finishOnClose(http, config.https.stop_grace_ms);
  cutStalled(http, config.https.stall_timeout_ms, log);
  http.addHook("onRoute", (route) => {
    // Pages and assets of the API documentation are registered by its plugin.
    if (/^\/docs(\/|$)/.test(route.url)) route.config = { access: { by: "anyone" }, probe: true };
  });
  guardRoutes(http, deps);
  await describeApi(http);
  return http;
}
