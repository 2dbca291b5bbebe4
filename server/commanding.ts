import type { ServerConfig } from "#config/server.ts";
import { startDelivery } from "#server/commands/delivery.ts";
import { commandRoutes } from "#server/commands/routes.ts";
import { commandTopics } from "#server/commands/topics.ts";
import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import { createWaiters } from "#server/runtime/waiters.ts";
import { commandTarget } from "#server/updates/command-target.ts";
import type { UpdateDeps } from "#server/updates/service.ts";

/** Operators' commands to vehicles, and what vehicles answer. */
export function composeCommands(parts: {
  db: Db;
  config: ServerConfig;
  mqtt: Mqtt;
  metrics: Metrics;
  log: Log;
  updates: UpdateDeps;
}) {
  const { updates, config, ...base } = parts;
  const delivery = startDelivery(base);
  const outcomes = createWaiters();
  const routes = commandRoutes({
    ...base,
    delivery,
    outcomes,
    ttlSeconds: config.commands.ttl_s,
    target: (vin, command) => commandTarget(updates, vin, command),
  });
  return {
    routes,
    /** Sends a vehicle what waits for it, if it is listening. */
    deliver: delivery.commands,
    topics: commandTopics({ ...base, outcomes }),
    stop() {
      delivery.stop();
      outcomes.stop();
    },
  };
}
