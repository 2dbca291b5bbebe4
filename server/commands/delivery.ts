import { Compile } from "typebox/compile";
import { Command } from "#protocol/mqtt/control.ts";
import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import { moveCommand, remoteConfig, undeliveredCommands } from "./queries.ts";

export interface Delivery {
  /** Sends a vehicle what waits for it, if it is listening. */
  commands(vin: string): Promise<void>;
  /** Sends a vehicle its remote configuration, if it is listening. */
  config(vin: string): Promise<void>;
}

export interface DeliveryDeps {
  db: Db;
  mqtt: Mqtt;
  log: Log;
}

const command = Compile(Command);

/**
 * The database is where commands wait, not the broker: so they outlive a restart of the gateway.
 * They go out when they are made and whenever the vehicle starts listening, until it acknowledges.
 */
export function startDelivery({ db, mqtt, log }: DeliveryDeps): Delivery {
  const delivery: Delivery = {
    async commands(vin) {
      for (const each of await undeliveredCommands(db, vin)) {
        if (!(await mqtt.send(vin, "control", each))) return;
        await moveCommand(db, vin, each.command_id, "sent");
      }
    },
    async config(vin) {
      const message = await remoteConfig(db, vin);
      if (message) await mqtt.send(vin, "config", message, { retain: true });
    },
  };
  const report = (work: Promise<unknown>) => {
    work.catch((error: unknown) =>
      log.error({ err: error }, "What waits for a vehicle could not be sent"),
    );
  };
  mqtt.whenListening("control", (vin) => report(delivery.commands(vin)));
  mqtt.whenListening("config", (vin) => report(delivery.config(vin)));
  mqtt.whenAcknowledged("control", (vin, payload) => {
    const message: unknown = JSON.parse(payload.toString());
    if (command.Check(message)) report(moveCommand(db, vin, message.command_id, "delivered"));
  });
  return delivery;
}
