import { join } from "node:path";
import { Agent, request } from "undici";
import { loadServerConfig } from "#config/server.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki, loadServerIdentities, serverCa, vehicleCa } from "#crypto/pki.ts";
import { auditRoutes } from "#server/audit/routes.ts";
import { openListener } from "#server/http/listen.ts";
import { createHttp } from "#server/http/server.ts";
import { createAdmission } from "#server/runtime/admission.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState } from "#server/runtime/state.ts";
import { silentLog, type OwnDatabase } from "#test/server/own-database.ts";

/** The audit log of a test's own database behind HTTPS, for whoever shows any token. */
export async function startAuditGateway({ db, folder }: OwnDatabase) {
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
    authenticate: async (name) => ({
      name,
      role: "admin",
      token_id: "",
      diagnostic_level: "none",
    }),
    vehicleSeen: () => {},
  });
  await http.register(auditRoutes({ db }), { prefix: "/api/v1" });
  const port = await openListener(http, { host: "localhost", port: 0 });
  const url = `https://localhost:${port}`;
  const dispatcher = new Agent({ connect: { ca: await serverCa(certs) } });
  return {
    url,
    /** A file with the authority of its certificate. */
    caFile: authorityFiles(certs, "server", "ecdsa-p256", "root").certificate,
    async send(method: "GET" | "HEAD", path: string) {
      const headers = { authorization: "Bearer auditor" };
      const answer = await request(`${url}/api/v1${path}`, { method, dispatcher, headers });
      return { ...answer, text: await answer.body.text() };
    },
    async close() {
      await dispatcher.close();
      await http.close();
    },
  };
}
