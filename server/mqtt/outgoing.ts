import type { Aedes, Client } from "aedes";
import { generate } from "mqtt-packet";
import { matches } from "#protocol/mqtt/topic.ts";
import { onPuback, subscriptionsOf } from "./aedes-internals.ts";

/**
 * What became of a message: `sent` and a PUBACK will follow; `sent_once`, since the vehicle
 * subscribed with QoS 0; `busy`, as too many before it are not acknowledged yet; `offline`.
 */
export type SendResult = "sent" | "sent_once" | "busy" | "offline";

export interface OutgoingMessage {
  topic: string;
  payload: Buffer;
  retain: boolean;
}

export interface Outgoing {
  send(client: Client | undefined, message: OutgoingMessage): SendResult;
}

/** Messages on their way to one vehicle: a bound on what a vehicle that stops reading can cost. */
const WINDOW = 32;
const MAX_MESSAGE_ID = 65_535;

interface InFlight {
  lastId: number;
  messages: Map<number, OutgoingMessage>;
}

/**
 * Sends to vehicles without aedes' own store of what is not acknowledged: whatever has to outlive a
 * connection waits in the database, and a second queue would deliver it twice.
 */
export function createOutgoing(
  aedes: Aedes,
  acknowledged: (client: Client, message: OutgoingMessage) => void,
): Outgoing {
  const connections = new WeakMap<Client, InFlight>();
  onPuback(aedes, (client, messageId) => {
    const inFlight = connections.get(client)?.messages;
    const message = inFlight?.get(messageId);
    // A vehicle may acknowledge what nobody sent.
    if (message === undefined) return;
    inFlight?.delete(messageId);
    acknowledged(client, message);
  });

  return {
    send(client, message) {
      const qos = client?.connected ? grantedQos(client, message.topic) : undefined;
      if (client === undefined || qos === undefined) return "offline";
      if (qos === 0) {
        write(client, { ...message, qos, messageId: undefined });
        return "sent_once";
      }
      const inFlight = connections.get(client) ?? { lastId: 0, messages: new Map() };
      connections.set(client, inFlight);
      if (inFlight.messages.size >= WINDOW) return "busy";
      const messageId = freeId(inFlight);
      inFlight.messages.set(messageId, message);
      write(client, { ...message, qos: 1, messageId });
      return "sent";
    },
  };
}

/** The highest QoS of the filters that match, at most 1 (MQTT 3.1.1 §3.8.4); undefined for none. */
function grantedQos(client: Client, topic: string): 0 | 1 | undefined {
  const granted = Object.entries(subscriptionsOf(client))
    .filter(([filter]) => matches(filter, topic))
    .map(([, { qos }]) => qos);
  if (granted.length === 0) return undefined;
  return Math.max(...granted) === 0 ? 0 : 1;
}

function freeId(inFlight: InFlight): number {
  do inFlight.lastId = (inFlight.lastId % MAX_MESSAGE_ID) + 1;
  while (inFlight.messages.has(inFlight.lastId));
  return inFlight.lastId;
}

function write(
  client: Client,
  packet: OutgoingMessage & { qos: 0 | 1; messageId: number | undefined },
): void {
  const { messageId, ...fields } = packet;
  const id = messageId === undefined ? {} : { messageId };
  client.conn.write(generate({ cmd: "publish", dup: false, ...fields, ...id }));
}
