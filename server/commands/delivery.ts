import { Compile } from "typebox/compile";
import { Command } from "#protocol/mqtt/control.ts";
import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import { moveCommand, remoteConfig, undeliveredCommands } from "./queries.ts";

export interface Delivery {
  /** Sends a vehicle what waits for it, in the background, if it is listening. */
  commands(vin: string): void;
  /** Sends a vehicle its remote configuration, in the background, if it is listening. */
  config(vin: string): void;
  /** Nothing is begun any more; what waits is sent after the next start. */
  stop(): void;
}

export interface DeliveryDeps {
  db: Db;
  mqtt: Mqtt;
  log: Log;
}

const command = Compile(Command);

/** A delivery to one connection. */
interface Progress {
  /** On their way: sent and not acknowledged. */
  sent: Set<string>;
  running: boolean;
  /** Look again when the present run is through. */
  again: boolean;
}

/**
 * The database is where commands wait, not the broker: so they outlive a restart of the gateway.
 * They go out when they are made, whenever the vehicle starts listening, and as it acknowledges
 * what went before; to one connection each of them once.
 */
export function startDelivery({ db, mqtt, log }: DeliveryDeps): Delivery {
  const connections = new WeakMap<object, Progress>();
  let stopped = false;

  async function sendCommands(vin: string, progress: Progress): Promise<void> {
    const due = await undeliveredCommands(db, vin, [...progress.sent]);
    for (const each of due) {
      const result = mqtt.send(vin, "control", each);
      if (result === "offline" || result === "busy") return;
      if (result === "sent") progress.sent.add(each.command_id);
      // A vehicle that subscribed with QoS 0 acknowledges nothing.
      await moveCommand(db, vin, each.command_id, result === "sent" ? "sent" : "delivered");
    }
    // There may be more than one query brings.
    if (due.length > 0) progress.again = true;
  }

  async function sendConfig(vin: string, retain: boolean): Promise<void> {
    const message = await remoteConfig(db, vin);
    if (message) mqtt.send(vin, "config", message, { retain });
  }

  async function run(vin: string, progress: Progress): Promise<void> {
    progress.running = true;
    try {
      do {
        progress.again = false;
        await sendCommands(vin, progress);
      } while (progress.again);
    } finally {
      progress.running = false;
    }
  }

  const inBackground = (work: Promise<void>) => {
    work.catch((error: unknown) => {
      // The database may be closed by then.
      if (!stopped) log.error({ err: error }, "What waits for a vehicle could not be sent");
    });
  };
  const commands = (vin: string) => {
    const connection = mqtt.connection(vin);
    if (connection === undefined || stopped) return;
    const progress = connections.get(connection) ?? {
      sent: new Set(),
      running: false,
      again: false,
    };
    connections.set(connection, progress);
    if (progress.running) progress.again = true;
    else inBackground(run(vin, progress));
  };

  async function settle(vin: string, commandId: string): Promise<void> {
    await moveCommand(db, vin, commandId, "delivered");
    const connection = mqtt.connection(vin);
    if (connection) connections.get(connection)?.sent.delete(commandId);
    commands(vin);
  }

  mqtt.whenListening("control", commands);
  // MQTT 3.1.1 §3.3.1.3: RETAIN is for a new subscription only.
  mqtt.whenListening("config", (vin) => inBackground(sendConfig(vin, true)));
  mqtt.whenAcknowledged("control", (vin, payload) => {
    const message: unknown = JSON.parse(payload.toString());
    if (!command.Check(message)) return;
    inBackground(settle(vin, message.command_id));
  });
  return {
    commands,
    config: (vin) => inBackground(sendConfig(vin, false)),
    stop() {
      stopped = true;
    },
  };
}
