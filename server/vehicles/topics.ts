import { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import { createBatcher } from "#server/database/batch.ts";
import type { Db } from "#server/database/connection.ts";
import { topicHandler, type TopicHandler } from "#server/mqtt/handler.ts";
import type { Presence } from "./presence.ts";
import { saveHeartbeats } from "./queries.ts";

export function vehicleTopics({ db, presence }: { db: Db; presence: Presence }): TopicHandler[] {
  const heartbeats = createBatcher<{ vin: string; heartbeat: Heartbeat }>({
    maxItems: 1000,
    flush: (batch) => saveHeartbeats(db, batch),
  });
  return [
    topicHandler({
      topic: "heartbeat",
      schema: Heartbeat,
      handle: (vin, heartbeat) => {
        presence.seen(vin);
        return heartbeats.push({ vin, heartbeat });
      },
    }),
  ];
}
