import { DiagnosticResponse, isDiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { topicHandler, type TopicHandler } from "#server/mqtt/handler.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Delivery } from "./delivery.ts";

export function diagnosticTopics({
  delivery,
  metrics,
  log,
}: {
  delivery: Delivery;
  metrics: Metrics;
  log: Log;
}): TopicHandler[] {
  return [
    topicHandler({
      topic: "diagnostics",
      schema: DiagnosticResponse,
      // Requests travel on the same topic, in the other direction.
      concerns: isDiagnosticResponse,
      async handle(vin, response) {
        if (response.pending === true) return delivery.pending(vin, response.request_id);
        if (await delivery.answer(vin, response)) return;
        metrics.mqttRefused.inc({ reason: "DIAGNOSTIC_RESPONSE_UNEXPECTED" });
        log.warn(
          { vehicle: vin, request_id: response.request_id },
          "[MQTT] Response to no open diagnostic request",
        );
      },
    }),
  ];
}
