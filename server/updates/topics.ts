import { ProblemError } from "#protocol/api/problem.ts";
import { Vci } from "#protocol/api/vci.ts";
import { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import { topicHandler, type TopicHandler } from "#server/mqtt/handler.ts";
import type { Log } from "#server/runtime/log.ts";
import { reportStatus, submitVci, type UpdateDeps } from "./service.ts";

export function updateTopics(deps: UpdateDeps & { log: Log }): TopicHandler[] {
  const { log, metrics } = deps;

  /** What is wrong with the message itself stays wrong: count it and let it be acknowledged. */
  async function refusing(vin: string, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      metrics.mqttRefused.inc({ reason: error.code });
      log.warn({ vehicle: vin, code: error.code }, `[MQTT] Refused: ${error.message}`);
    }
  }

  return [
    topicHandler({
      topic: "ota/status",
      schema: OtaStatus,
      ordered: true,
      handle: (vin, report) => refusing(vin, reportStatus(deps, vin, report)),
    }),
    topicHandler({
      topic: "vci",
      schema: Vci,
      ordered: true,
      handle: async (vin, vci, certificateKey) => {
        if (vci.vin !== undefined && vci.vin !== vin) {
          return refusing(vin, Promise.reject(new ProblemError("VEHICLE_MISMATCH", vci.vin)));
        }
        return refusing(vin, submitVci(deps, vin, vci, certificateKey));
      },
    }),
  ];
}
