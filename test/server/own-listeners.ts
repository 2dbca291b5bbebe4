import pino from "pino";
import { loadServerConfig } from "#config/server.ts";
import { loadServerIdentities, vehicleCa } from "#crypto/pki.ts";
import { openListener } from "#server/http/listen.ts";
import { createHttp } from "#server/http/server.ts";
import { createMqtt } from "#server/mqtt/broker.ts";
import { createAdmission } from "#server/runtime/admission.ts";
import { connectionOf, type TlsConnection } from "#server/runtime/connection.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState } from "#server/runtime/state.ts";

/** The gateway's two listeners with nothing behind them. */
export interface OwnListeners {
  ports: { https: number; mqtt: number };
  /** Lines of the log, parsed. */
  lines: Record<string, unknown>[];
  /** What each vehicle's latest connection was, by listener. */
  seen: Record<"https" | "mqtt", Map<string, TlsConnection>>;
  /** Counters, in Prometheus's text format. */
  counters(): Promise<string>;
  close(): Promise<void>;
}

/** Listens on free ports with the certificates of a folder and these TLS profiles. */
export async function startListeners(
  certsDir: string,
  profiles: number[],
  host = "127.0.0.1",
): Promise<OwnListeners> {
  const config = loadServerConfig({});
  const state = trackState();
  const metrics = createMetrics(state);
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "info" },
    { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const seen: OwnListeners["seen"] = { https: new Map(), mqtt: new Map() };
  const base = {
    config: {
      https: config.https,
      mqtt: { ...config.mqtt, host, port: 0 },
      tls: { ...config.tls, profiles },
    },
    identities: await loadServerIdentities(certsDir),
    clientCa: await vehicleCa(certsDir),
    log,
    metrics,
    state,
    admission: createAdmission(log),
  };
  const http = await createHttp({
    ...base,
    authenticate: async () => undefined,
    vehicleSeen: (vin, connection) => seen.https.set(vin, connection),
  });
  http.get("/who", { config: { access: { by: "anyone" } } }, async ({ raw }) => {
    const connection = connectionOf(raw.socket);
    return { group: connection?.negotiated.group, peer: connection?.peer };
  });
  http.get("/me", { config: { access: { by: "vehicle" } } }, async () => ({}));
  const mqtt = await createMqtt({
    ...base,
    vehicleSeen: (vin, connection) => seen.mqtt.set(vin, connection),
  });
  return {
    ports: {
      https: await openListener(http, { host, port: 0 }),
      mqtt: (await mqtt.listen()).port,
    },
    lines,
    seen,
    counters: () => metrics.registry.metrics(),
    async close() {
      await Promise.all([http.close(), mqtt.close()]);
    },
  };
}
