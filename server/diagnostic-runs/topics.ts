import { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import type { Sessions } from "#server/diagnostic-sessions/service.ts";
import { topicHandler, type TopicHandler } from "#server/mqtt/handler.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Challenges } from "./challenges.ts";
import type { Scans } from "./scans.ts";
import { takeFinished, takeStep, type ScriptEventDeps } from "./script-events.ts";

export interface DiagnosticEventDeps extends ScriptEventDeps {
  sessions: Sessions;
  challenges: Challenges;
  scans: Scans;
  log: Log;
}

/** What vehicles say of sessions, scripts and scans; each is acknowledged once it is stored. */
export function diagnosticEventTopics(deps: DiagnosticEventDeps): TopicHandler[] {
  const { metrics, log } = deps;
  return [
    topicHandler({
      topic: "diagnostics/events",
      schema: DiagnosticEvent,
      // The record of a script, in the audit log and in captures, has its steps as they were.
      ordered: true,
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
  deps: DiagnosticEventDeps,
  vin: string,
  event: DiagnosticEvent,
): Promise<boolean> {
  switch (event.kind) {
    case "session_opened":
    case "session_ended":
      return deps.sessions.take(vin, event);
    case "script_step":
      return takeStep(deps, vin, event);
    case "script_finished":
      return takeFinished(deps, vin, event);
    case "challenge":
      return deps.challenges.take(vin, event);
    case "scan":
      return deps.scans.take(vin, event);
  }
}
