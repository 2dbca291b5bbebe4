import type { ServerConfig } from "#config/server.ts";
import { Telemetry } from "#protocol/mqtt/telemetry.ts";
import { createBatcher } from "#server/database/batch.ts";
import type { Db } from "#server/database/connection.ts";
import { topicHandler, type TopicHandler } from "#server/mqtt/handler.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Presence } from "#server/vehicles/presence.ts";
import { createAnomalyDetector, type Anomaly } from "./anomaly.ts";
import { insertSamples, type Sample } from "./queries.ts";

export interface TelemetryDeps {
  db: Db;
  config: ServerConfig["telemetry"];
  presence: Presence;
  metrics: Metrics;
  log: Log;
}

/** Anomalies that wait for a database that fails; the oldest go first. */
const MAX_UNSTORED = 1000;

export function telemetryTopics({
  db,
  config,
  presence,
  metrics,
  log,
}: TelemetryDeps): TopicHandler[] {
  const detector = createAnomalyDetector(config);
  const unstored: Anomaly[] = [];
  const samples = createBatcher<Sample & { anomalies: Anomaly[] }>({
    maxItems: config.batch_size,
    // One gathers and is sent while the database works on the other.
    lanes: 2,
    async flush(batch) {
      // A sample that comes again shows nothing new: what it showed must not be lost with its batch.
      const anomalies = [...unstored.splice(0), ...batch.flatMap((sample) => sample.anomalies)];
      try {
        await insertSamples(db, batch, anomalies);
      } catch (error) {
        unstored.push(...anomalies.slice(-MAX_UNSTORED));
        throw error;
      }
      for (const anomaly of anomalies) report(anomaly);
      if (!log.isLevelEnabled("debug")) return;
      for (const { vin } of batch)
        log.debug({ vehicle: vin }, `[MQTT] Telemetry from ${vin} stored`);
    },
  });

  function report({ vin, signal, value, rule, detail }: Anomaly): void {
    metrics.anomalies.inc({ rule });
    log.warn(
      { vehicle: vin, signal, value, rule },
      `[MQTT] Anomaly in telemetry: ${signal} ${value}, ${detail}`,
    );
  }

  return [
    topicHandler({
      topic: "telemetry",
      schema: Telemetry,
      handle(vin, payload) {
        presence.seen(vin);
        const { ts: time, ...signals } = payload as Telemetry;
        const ts = new Date(time);
        const anomalies = detector.inspect(vin, ts, signals);
        return samples.push({ vin, ts, signals: JSON.stringify(signals), anomalies });
      },
    }),
  ];
}
