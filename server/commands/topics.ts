import { CommandResponse } from "#protocol/mqtt/control.ts";
import type { Db } from "#server/database/connection.ts";
import { topicHandler, type TopicHandler } from "#server/mqtt/handler.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { moveCommand } from "./queries.ts";

export function commandTopics({
  db,
  log,
  metrics,
  outcomes,
}: {
  db: Db;
  /** Those who wait for a command's outcome, by its id. */
  outcomes: Waiters;
  log: Log;
  metrics: Metrics;
}): TopicHandler[] {
  return [
    topicHandler({
      topic: "control/response",
      schema: CommandResponse,
      ordered: true,
      async handle(vin, { command_id, status, result, error }) {
        if (await moveCommand(db, vin, command_id, status, error ? { error, result } : result)) {
          outcomes.wake(command_id);
          return;
        }
        metrics.mqttRefused.inc({ reason: "COMMAND_RESPONSE_UNEXPECTED" });
        log.warn({ vehicle: vin, command_id, status }, "[MQTT] Response to no open command");
      },
    }),
  ];
}
