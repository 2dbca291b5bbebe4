import type { Aedes, Client, PublishPacket, Subscription } from "aedes";
import type { Packet } from "mqtt-packet";
import type { Sessions } from "./sessions.ts";

/**
 * What this product needs of aedes beyond its public interface, all in one place, so that a new
 * version of aedes has one file to be held against.
 */
interface BrokerInternals {
  clients: Record<string, Client>;
  connectedClients: number;
  registerClient(client: Client): void;
  _finishRegisterClient(client: Client): void;
  unregisterClient(client: Client): void;
  publish(packet: PublishPacket, from: Client | Done | null, done?: Done): void;
  persistence: {
    outgoingClearMessageId(client: Client, packet: { messageId: number }): Promise<unknown>;
    subscriptionsByClient(client: { id: string }): Promise<Subscription[]>;
    addSubscriptions(client: Client, subscriptions: Subscription[]): Promise<void>;
    incomingGetPacket(
      client: Client,
      packet: { cmd: "publish" | "pubrel"; messageId: number },
    ): Promise<unknown>;
    cleanIncoming(client: Client): Promise<void>;
  };
}
type Done = () => void;

interface ClientInternals {
  subscriptions: Record<string, { qos: number }>;
  _parser: PacketParser;
  pause(): void;
}

/** The parser of one connection (mqtt-packet). */
export interface PacketParser {
  /** What the packet that is being read gave so far; `length` is its remaining length (§2.2.3). */
  packet: Packet & { length: number };
  error: Error | null;
  /** What has come and is not read yet. */
  _list: { length: number; slice(start: number, end: number): Buffer };
  _parseLength(): boolean;
  /** Reads what follows the fixed header; false when not all of it is there yet. */
  _parsePayload(): boolean;
  emit(event: "error", error: Error): void;
}

/** Who is connected, by client id. */
export function clientsOf(aedes: Aedes): Readonly<Record<string, Client>> {
  return internalsOf(aedes).clients;
}

/** A client's filters, with the QoS that it was granted. */
export function subscriptionsOf(client: Client): Readonly<Record<string, { qos: number }>> {
  return (client as unknown as ClientInternals).subscriptions;
}

export function parserOf(client: Client): PacketParser {
  return (client as unknown as ClientInternals)._parser;
}

/**
 * Gives a client id to its newest connection at once, and closes the one before (MQTT 3.1.1
 * §3.1.4-2). aedes waits for the one before to have closed: of connections that come or go
 * meanwhile, it lets two live on, or none be known by the id that is connected.
 */
export function takeOverAtOnce(aedes: Aedes): void {
  const broker = internalsOf(aedes);
  const registered = new WeakSet<Client>();
  const unregisterClient = broker.unregisterClient.bind(broker);
  broker.registerClient = (client) => {
    if (client.closed) return;
    const before = broker.clients[client.id];
    registered.add(client);
    broker._finishRegisterClient(client);
    before?.close();
  };
  broker.unregisterClient = (client) => {
    if (!registered.delete(client)) return;
    if (broker.clients[client.id] === client) return unregisterClient(client);
    broker.connectedClients--;
    aedes.emit("clientDisconnect", client);
  };
}

/** Reads nothing more from anyone. What has been read is still handled. */
export function stopReading(aedes: Aedes): void {
  // The socket's own pause() does nothing: aedes reads when there is something to read.
  const stop = (client: Client) => (client as unknown as ClientInternals).pause();
  for (const client of Object.values(clientsOf(aedes))) stop(client);
  aedes.on("clientReady", stop);
}

/**
 * What a vehicle publishes is for the gateway, which has handled it by now. Offering it to all
 * subscriptions would cost a sixth of its time, and could only reach the vehicle itself.
 */
export function keepFromSubscribers(aedes: Aedes): void {
  const broker = internalsOf(aedes);
  const publish = broker.publish.bind(broker);
  broker.publish = (packet, from, done) => {
    if (typeof from === "object" && from !== null) done?.();
    else publish(packet, from, done);
  };
}

/** Calls back for every PUBACK, also of clean sessions, of which aedes keeps no record. */
export function onPuback(
  aedes: Aedes,
  callback: (client: Client, messageId: number) => void,
): void {
  internalsOf(aedes).persistence.outgoingClearMessageId = (client, { messageId }) => {
    callback(client, messageId);
    return Promise.resolve(undefined);
  };
}

/** Taken for a subscription, so that aedes says of a session without any that it is present. */
const NO_SUBSCRIPTION = { topic: "none", qos: 0 } as const;

/**
 * Has `sessions` asked for what aedes would look up in a store of its own. That one keeps each QoS 2
 * message until its PUBREL, handles one twice that comes again meanwhile, and is emptied by whoever
 * tries to connect under another's id.
 */
export function keepSessions(aedes: Aedes, sessions: Sessions): void {
  const { persistence } = internalsOf(aedes);
  const subscriptionsByClient = persistence.subscriptionsByClient.bind(persistence);
  persistence.subscriptionsByClient = async (client) => {
    const existed = sessions.resume(client.id);
    const subscriptions = await subscriptionsByClient(client);
    return existed && subscriptions.length === 0 ? [NO_SUBSCRIPTION] : subscriptions;
  };
  const authorizeSubscribe = aedes.authorizeSubscribe;
  aedes.authorizeSubscribe = (client, subscription, done) => {
    if (subscription === NO_SUBSCRIPTION) done(null, null);
    else authorizeSubscribe(client, subscription, done);
  };
  persistence.incomingGetPacket = (client, { cmd, messageId }) => {
    if (cmd === "pubrel") sessions.release(client, messageId);
    // A PUBLISH has been handled by now: as one that is known, it only gets its PUBREC.
    return Promise.resolve(undefined);
  };
  persistence.cleanIncoming = (client) => {
    // Also called for every clean client that goes, let in or not.
    if (!client.closed) sessions.discard(client.id);
    return Promise.resolve();
  };
}

/** Keeps in a persistent session only the filters that were granted, as aedes keeps all of them. */
export function keepGranted(
  aedes: Aedes,
  granted: (client: Client, filter: string) => boolean,
): void {
  const { persistence } = internalsOf(aedes);
  const addSubscriptions = persistence.addSubscriptions.bind(persistence);
  persistence.addSubscriptions = (client, subscriptions) =>
    addSubscriptions(
      client,
      subscriptions.filter(({ topic }) => granted(client, topic)),
    );
}

function internalsOf(aedes: Aedes): BrokerInternals {
  return aedes as unknown as BrokerInternals;
}
