import { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import type { Sessions } from "#server/diagnostic-sessions/service.ts";
import { topicHandler, type TopicHandler } from "#server/mqtt/handler.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";

export interface DiagnosticEventDeps {
  sessions: Sessions;
  metrics: Metrics;
  log: Log;
}

/** What vehicles say of sessions, scripts and scans; each is acknowledged once it is stored. */
export function diagnosticEventTopics(deps: DiagnosticEventDeps): TopicHandler[] {
  const { metrics, log } = deps;
  return [
    topicHandler({
      topic: "diagnostics/events",
      schema: DiagnosticEvent,
      async handle(vin, event) {
        if (await take(deps, vin, event)) return;
        metrics.mqttRefused.inc({ reason: "DIAGNOSTIC_EVENT_UNEXPECTED" });
        log.warn({ vehicle: vin, kind: event.kind }, "[MQTT] Event of nothing the vehicle does");
      },
    }),
  ];
}

/** @returns false when the vehicle does no such thing */
async function take(
  { sessions }: DiagnosticEventDeps,
  vin: string,
  event: DiagnosticEvent,
): Promise<boolean> {
  switch (event.kind) {
    case "session_opened":
    case "session_ended":
      return sessions.take(vin, event);
    case "script_step":
    case "script_finished":
    case "challenge":
    case "scan":
      return false;
  }
}
