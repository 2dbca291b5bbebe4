import { join } from "node:path";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import pino from "pino";
import { loadServerConfig } from "#config/server.ts";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  loadVehicleIdentity,
  serverCa,
  vehicleCa,
} from "#crypto/pki.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import { createMqtt, type Mqtt } from "#server/mqtt/broker.ts";
import type { TopicHandler } from "#server/mqtt/handler.ts";
import { createAdmission } from "#server/runtime/admission.ts";
import type { Log } from "#server/runtime/log.ts";
import { createMetrics, type Metrics } from "#server/runtime/metrics.ts";
import { trackState, type StateTracker } from "#server/runtime/state.ts";

/** The MQTT side of a gateway, with the topics of one test. */
export interface OwnBroker {
  mqtt: Mqtt;
  port: number;
  certsDir: string;
  state: StateTracker;
  metrics: Metrics;
  /** Lines of the log, parsed. */
  lines: Record<string, unknown>[];
  connect(vin: string): Promise<MqttClient>;
}

/** Listens on a free port; its certificates go into `folder`. */
export async function startBroker(
  folder: string,
  topics: (deps: { metrics: Metrics; log: Log }) => TopicHandler[],
): Promise<OwnBroker> {
  const { tls, mqtt: listener } = loadServerConfig({});
  const certsDir = join(folder, "certs");
  await ensureDevelopmentPki(certsDir, { algorithms: ["ecdsa-p256"] });
  const state = trackState();
  const metrics = createMetrics(state);
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "info" },
    { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const broker = await createMqtt({
    config: { tls, mqtt: { ...listener, host: "localhost", port: 0 } },
    identities: await loadServerIdentities(certsDir),
    clientCa: await vehicleCa(certsDir),
    log,
    metrics,
    state,
    admission: createAdmission(log),
    vehicleSeen: () => {},
  });
  for (const handler of topics({ metrics, log })) broker.handle(handler);
  const { port } = await broker.listen();
  return {
    mqtt: broker,
    port,
    certsDir,
    state,
    metrics,
    lines,
    async connect(vin) {
      await issueVehicleCertificate(certsDir, { vehicleId: vin });
      const identity = await loadVehicleIdentity(certsDir, vin);
      const tlsOptions = clientTlsOptions({ profile: 2, identity, ca: await serverCa(certsDir) });
      return mqtt.connectAsync({
        host: "localhost",
        port,
        protocol: "mqtts",
        protocolVersion: 4,
        clientId: vin,
        reconnectPeriod: 0,
        ...(tlsOptions as IClientOptions),
      });
    },
  };
}
