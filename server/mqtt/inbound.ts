import type { AedesOptions, Client, PublishPacket } from "aedes";
import { JsonError, parseJson } from "#protocol/bytes/json.ts";
import {
  mayPublish,
  maySubscribe,
  parseTopic,
  topicOf,
  type VehicleTopic,
} from "#protocol/mqtt/topic.ts";
import { certificateKey, connectionOf, type TlsConnection } from "#server/runtime/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import type { TopicHandler } from "./handler.ts";
import type { Sessions } from "./sessions.ts";
import { createTurns, type TakeTurns } from "./turns.ts";

export interface InboundDeps {
  log: Log;
  metrics: Metrics;
  state: StateTracker;
  vehicleSeen: (vin: string, connection: TlsConnection) => void;
}

/** Who may connect, publish and subscribe, and what a publish sets off. */
export function inboundRules(
  deps: InboundDeps,
  handlers: ReadonlyMap<VehicleTopic, TopicHandler>,
  sessions: Pick<Sessions, "once">,
): AedesOptions {
  const { log, metrics } = deps;
  const takeTurns = createTurns();
  const refuse = (reason: string, client: Client | null, detail: string) => {
    metrics.mqttRefused.inc({ reason });
    log.warn({ vehicle: client?.id, code: reason }, `[MQTT] Refused: ${detail}`);
  };
  return {
    authenticate(client, _username, _password, done) {
      const connection = connectionOf(client.conn);
      if (connection?.refusal !== undefined) {
        // Logged and counted with its handshake.
        done(Object.assign(new Error(connection.refusal.reason), { returnCode: 5 }), false);
        return;
      }
      if (connection?.peer.kind === "vehicle" && connection.peer.vehicleId === client.id) {
        deps.vehicleSeen(client.id, connection);
        done(null, true);
        return;
      }
      const subject = connection?.peer.kind === "vehicle" ? connection.peer.vehicleId : "nobody";
      refuse(
        "MQTT_CLIENT_ID_MISMATCH",
        client,
        `client id ${client.id}, certificate for ${subject}`,
      );
      done(
        Object.assign(new Error("client id is not the certificate's"), { returnCode: 2 }),
        false,
      );
    },
    authorizePublish(client, packet, done) {
      if (client === null) return done();
      // A vehicle's message is for the gateway: kept as retained it would only fill memory.
      packet.retain = false;
      const { qos, messageId } = packet;
      // A will has no id, whatever its QoS: it comes once.
      const taken =
        qos === 2 && messageId !== undefined
          ? sessions.once(client, messageId, () => publish(client, packet))
          : publish(client, packet);
      void taken.then(
        () => done(),
        (error: Error) => done(error),
      );
    },
    authorizeSubscribe(client, subscription, done) {
      if (maySubscribe(client.id, subscription.topic)) return done(null, subscription);
      refuse("MQTT_SUBSCRIPTION_REFUSED", client, `subscription to ${subscription.topic}`);
      return done(null, null);
    },
  };

  async function publish(client: Client, packet: PublishPacket): Promise<void> {
    const parsed = parseTopic(packet.topic);
    if (parsed === undefined || !mayPublish(client.id, packet.topic)) {
      refuse("MQTT_TOPIC_REFUSED", client, `publish to ${packet.topic}`);
      throw new Error(`not allowed to publish to ${packet.topic}`);
    }
    const handler = handlers.get(parsed.name);
    if (handler === undefined) return;
    const payload = readPayload(packet.payload, handler);
    if (payload === "not for the gateway") return;
    // What can't be read stays unreadable: acknowledge it, or the vehicle would send it for ever.
    if ("refusal" in payload) {
      refuse("MQTT_PAYLOAD_INVALID", client, `${packet.topic}: ${payload.refusal}`);
    } else {
      await store(client, handler, payload.value, { ...deps, takeTurns });
    }
  }
}

async function store(
  client: Client,
  handler: TopicHandler,
  payload: unknown,
  { log, metrics, state, takeTurns }: InboundDeps & { takeTurns: TakeTurns },
): Promise<void> {
  const end = state.begin("mqtt");
  try {
    // Messages of one read of the socket are handled at the same time unless they take turns.
    const handle = () => handler.handle(client.id, payload, () => certificateKey(client.conn));
    await (handler.ordered ? takeTurns(client, handle) : handle());
    metrics.mqttMessages.inc({ topic: handler.topic });
  } catch (error) {
    log.error(
      { err: error, vehicle: client.id },
      `[MQTT] ${topicOf(client.id, handler.topic)} could not be stored`,
    );
    throw error;
  } finally {
    end();
  }
}

function readPayload(
  payload: Buffer | string,
  handler: TopicHandler,
): { value: unknown } | { refusal: string } | "not for the gateway" {
  let value: unknown;
  try {
    value = parseJson(payload.toString());
  } catch (error) {
    if (error instanceof JsonError) return { refusal: error.message };
    throw error;
  }
  if (handler.concerns?.(value) === false) return "not for the gateway";
  const refusal = handler.refusal(value);
  return refusal === undefined ? { value } : { refusal };
}
