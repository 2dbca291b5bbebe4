import { join } from "node:path";
import { Agent, request } from "undici";
import { loadServerConfig } from "#config/server.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki, loadServerIdentities, serverCa, vehicleCa } from "#crypto/pki.ts";
import type { Authenticate, Operator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { openListener } from "#server/http/listen.ts";
import { createHttp } from "#server/http/server.ts";
import { createAdmission } from "#server/runtime/admission.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState } from "#server/runtime/state.ts";
import { apiContract, type ApiDocument } from "#test/helpers/api-contract.ts";
import { silentLog } from "#test/server/own-database.ts";

/** What came of a request. */
export interface RouteAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  /** The body as JSON. */
  readonly json: unknown;
}

/**
 * Some of the gateway's routes behind HTTPS, for operators whom the test makes up. Every answer is
 * held to the description that goes with the routes.
 */
export async function serveRoutes(
  folder: string,
  routes: readonly ((http: Http) => Promise<void>)[],
  /** Whoever shows their name as a token; without an entry nobody. Or who shows which token. */
  operators: Record<string, Omit<Operator, "name" | "token_id">> | Authenticate,
) {
  const certs = join(folder, "certs");
  await ensureDevelopmentPki(certs, { hostNames: ["localhost"], algorithms: ["ecdsa-p256"] });
  const state = trackState();
  const http = await createHttp({
    config: loadServerConfig({}),
    identities: await loadServerIdentities(certs),
    clientCa: await vehicleCa(certs),
    log: silentLog,
    metrics: createMetrics(state),
    state,
    admission: createAdmission(silentLog),
    authenticate:
      typeof operators === "function"
        ? operators
        : async (name) => {
            const known = operators[name];
            return known && { ...known, name, token_id: `token of ${name}` };
          },
    vehicleSeen: () => {},
  });
  for (const each of routes) await http.register(each, { prefix: "/api/v1" });
  const port = await openListener(http, { host: "localhost", port: 0 });
  const url = `https://localhost:${port}`;
  const dispatcher = new Agent({ connect: { ca: await serverCa(certs) } });
  const document = await request(`${url}/docs/json`, { dispatcher });
  const contract = apiContract((await document.body.json()) as ApiDocument);
  return {
    url,
    /** A file with the authority of its certificate. */
    caFile: authorityFiles(certs, "server", "ecdsa-p256", "root").certificate,
    async send(
      name: string,
      method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE",
      path: string,
      body?: unknown,
    ): Promise<RouteAnswer> {
      const headers = {
        authorization: `Bearer ${name}`,
        ...(body !== undefined && { "content-type": "application/json" }),
      };
      const answer = await request(`${url}/api/v1${path}`, {
        method,
        dispatcher,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await answer.body.text();
      const { statusCode: status, headers: answered } = answer;
      contract.check(method, `/api/v1${path}`, {
        status,
        headers: answered,
        bytes: Buffer.from(text),
      });
      return {
        status,
        headers: answered,
        text,
        get json() {
          return JSON.parse(text) as unknown;
        },
      };
    },
    async close() {
      await dispatcher.close();
      await http.close();
    },
  };
}
