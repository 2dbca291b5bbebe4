import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import {
  Aedes,
  type AedesOptions,
  type AuthenticateError,
  type Client,
  type PublishPacket,
} from "aedes";
import type { ServerConfig } from "#config/server.ts";
import { serverTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import { JsonError, parseJson } from "#protocol/bytes/json.ts";
import {
  matches,
  mayPublish,
  maySubscribe,
  parseTopic,
  topicOf,
  type VehicleTopic,
} from "#protocol/mqtt/topic.ts";
import { connectionOf, watchConnections, type TlsConnection } from "#server/runtime/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import type { TopicHandler } from "./handler.ts";
import { limitPackets } from "./packet-limit.ts";

export interface MqttDeps {
  config: Pick<ServerConfig, "mqtt" | "tls">;
  identities: readonly TlsIdentity[];
  clientCa: string;
  log: Log;
  metrics: Metrics;
  state: StateTracker;
  vehicleSeen: (vin: string, connection: TlsConnection) => void;
}

/** The MQTT listener: the vehicles' side of every exchange that is not a download. */
export interface Mqtt {
  /** Adds a slice's handler; each topic has one. */
  handle(handler: TopicHandler): void;
  /** Calls back whenever a vehicle has subscribed to this topic: what waits for it can go out. */
  whenListening(topic: VehicleTopic, callback: (vin: string) => void): void;
  /** Calls back when a vehicle has acknowledged a message that was sent to it on this topic. */
  whenAcknowledged(topic: VehicleTopic, callback: (vin: string, payload: Buffer) => void): void;
  /**
   * Sends to a vehicle that is connected and subscribed, QoS 1.
   * @returns false when it is not
   */
  send(
    vin: string,
    topic: VehicleTopic,
    payload: unknown,
    options?: { retain?: boolean },
  ): Promise<boolean>;
  isConnected(vin: string): boolean;
  listen(): Promise<{ port: number }>;
  /** Stops taking connections and messages, waits for those under way, closes the connections. */
  close(): Promise<void>;
}

export async function createMqtt(deps: MqttDeps): Promise<Mqtt> {
  const { config, log, metrics } = deps;
  const handlers = new Map<VehicleTopic, TopicHandler>();
  const aedes = await Aedes.createBroker({
    // 0 is mqemitter's "no limit": any other value overflows the stack under a burst of QoS 1.
    concurrency: 0,
    maxClientsIdLength: 64,
    queueLimit: 1000,
    ...rules(deps, handlers),
  });
  keepFromSubscribers(aedes);
  const server = createServer({
    ...serverTlsOptions({
      profiles: config.tls.profiles,
      identities: deps.identities,
      clientCa: deps.clientCa,
      // Required all the same: `admit` cuts off who has none, and can say in the log who it was.
      clientCertificates: "optional",
    }),
    handshakeTimeout: config.tls.handshake_timeout_ms,
    // Messages are small and somebody waits for their answers.
    noDelay: true,
  });
  watchConnections(server, { listener: "mqtt", log, metrics });
  const sockets = trackSockets(server);
  server.on("secureConnection", (socket) => {
    if (admit(socket, deps)) limitPackets(aedes.handle(socket), config.mqtt.payload_limit);
  });
  observeClients(aedes, deps);

  return {
    handle(handler) {
      if (handlers.has(handler.topic)) throw new Error(`${handler.topic} has a handler already`);
      handlers.set(handler.topic, handler);
    },
    whenListening(topic, callback) {
      onSubscribed(aedes, (vin, filters) => {
        if (filters.some((filter) => matches(filter, topicOf(vin, topic)))) callback(vin);
      });
    },
    whenAcknowledged(topic, callback) {
      // The message is absent when the vehicle acknowledges one that nobody sent.
      aedes.on("ack", (acknowledged, client) => {
        const packet = acknowledged as PublishPacket | undefined;
        if (packet?.topic === topicOf(client.id, topic)) {
          callback(client.id, Buffer.from(packet.payload));
        }
      });
    },
    send: (vin, topic, payload, options) =>
      send(clientOf(aedes, vin), topicOf(vin, topic), payload, options?.retain ?? false),
    isConnected: (vin) => clientOf(aedes, vin)?.connected === true,
    listen: () => listen(server, config.mqtt),
    close: () => close(aedes, server, sockets, deps.state),
  };
}

/**
 * What a vehicle publishes is for the gateway, which has handled it by now. Offering it to all
 * subscriptions would cost a sixth of its time, and could only reach the vehicle itself.
 */
function keepFromSubscribers(aedes: Aedes): void {
  type Done = () => void;
  const broker = aedes as unknown as {
    publish(packet: PublishPacket, from: Client | Done | null, done?: Done): void;
  };
  const publish = broker.publish.bind(broker);
  broker.publish = (packet, from, done) => {
    if (typeof from === "object" && from !== null) done?.();
    else publish(packet, from, done);
  };
}

/** Only vehicles get past the handshake. */
function admit(socket: TLSSocket, { log, metrics }: MqttDeps): boolean {
  const peer = connectionOf(socket)?.peer;
  if (peer?.kind === "vehicle") return true;
  if (peer?.kind === "anonymous") {
    metrics.tlsRefused.inc({ listener: "mqtt", reason: "CERTIFICATE_MISSING" });
    log.warn(
      { listener: "mqtt", remote: socket.remoteAddress },
      "Client without a certificate refused",
    );
  }
  socket.destroy();
  return false;
}

/** Who may connect, publish and subscribe, and what a publish sets off. */
function rules(deps: MqttDeps, handlers: Map<VehicleTopic, TopicHandler>): AedesOptions {
  const { log, metrics } = deps;
  const refuse = (reason: string, client: Client | null, detail: string) => {
    metrics.mqttRefused.inc({ reason });
    log.warn({ vehicle: client?.id, code: reason }, `[MQTT] Refused: ${detail}`);
  };
  return {
    authenticate(client, _username, _password, done) {
      const connection = connectionOf(client.conn);
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
        Object.assign(new Error("client id is not the certificate's"), {
          returnCode: 2,
        }) as AuthenticateError,
        false,
      );
    },
    authorizePublish(client, packet, done) {
      // A vehicle's message is for the gateway: kept as retained it would only fill memory.
      if (client) packet.retain = false;
      void publish(client, packet).then(
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

  async function publish(client: Client | null, packet: PublishPacket): Promise<void> {
    if (client === null) return;
    const parsed = parseTopic(packet.topic);
    if (parsed === undefined || !mayPublish(client.id, packet.topic)) {
      refuse("MQTT_TOPIC_REFUSED", client, `publish to ${packet.topic}`);
      throw new Error(`not allowed to publish to ${packet.topic}`);
    }
    const handler = handlers.get(parsed.name);
    if (handler === undefined) return;
    const payload = readPayload(packet.payload, handler);
    // What can't be read stays unreadable: acknowledge it, or the vehicle would send it for ever.
    if ("refusal" in payload) {
      refuse("MQTT_PAYLOAD_INVALID", client, `${packet.topic}: ${payload.refusal}`);
      return;
    }
    if (handler.concerns?.(payload.value) === false) return;
    const end = deps.state.begin("mqtt");
    try {
      if (handler.ordered) await inTurn(client, () => handler.handle(client.id, payload.value));
      else await handler.handle(client.id, payload.value);
      metrics.mqttMessages.inc({ topic: parsed.name });
    } catch (error) {
      log.error({ err: error, vehicle: client.id }, `[MQTT] ${packet.topic} could not be stored`);
      throw error;
    } finally {
      end();
    }
  }
}

const turns = new WeakMap<Client, Promise<unknown>>();

/** Messages of one read of the socket are handled at the same time unless they take turns. */
function inTurn(client: Client, work: () => Promise<void>): Promise<void> {
  const turn = (turns.get(client) ?? Promise.resolve()).then(work);
  turns.set(
    client,
    turn.catch(() => undefined),
  );
  return turn;
}

function readPayload(
  payload: Buffer | string,
  handler: TopicHandler,
): { value: unknown } | { refusal: string } {
  let value: unknown;
  try {
    value = parseJson(payload.toString());
  } catch (error) {
    if (error instanceof JsonError) return { refusal: error.message };
    throw error;
  }
  const refusal = handler.concerns?.(value) === false ? undefined : handler.refusal(value);
  return refusal === undefined ? { value } : { refusal };
}

function observeClients(aedes: Aedes, { log, metrics }: MqttDeps): void {
  aedes.on("clientReady", (client) => {
    metrics.mqttConnected.set(aedes.connectedClients);
    log.info({ vehicle: client.id }, "[MQTT] Vehicle connected");
  });
  aedes.on("clientDisconnect", (client) => {
    metrics.mqttConnected.set(aedes.connectedClients);
    log.info({ vehicle: client.id }, "[MQTT] Vehicle disconnected");
  });
  aedes.on("clientError", (client, error) =>
    log.warn({ vehicle: client.id, err: error.message }, "[MQTT] Connection closed"),
  );
  aedes.on("connectionError", (client, error) => {
    metrics.mqttRefused.inc({ reason: "MQTT_CONNECT_REFUSED" });
    const remote = (client.conn as TLSSocket).remoteAddress;
    log.warn({ remote, err: error.message }, "[MQTT] Connection refused");
  });
}

/** A new subscription, or one that a persistent session brings back. */
function onSubscribed(aedes: Aedes, callback: (vin: string, filters: string[]) => void): void {
  aedes.on("subscribe", (subscriptions, client) => {
    // While a session is being restored the vehicle is not connected yet: clientReady follows.
    if (client.connected)
      callback(
        client.id,
        subscriptions.map(({ topic }) => topic),
      );
  });
  aedes.on("clientReady", (client) => {
    const filters = Object.keys((client as unknown as { subscriptions: object }).subscriptions);
    if (filters.length > 0) callback(client.id, filters);
  });
}

function clientOf(aedes: Aedes, vin: string): Client | undefined {
  return (aedes as unknown as { clients: Record<string, Client> }).clients[vin];
}

function send(
  client: Client | undefined,
  topic: string,
  payload: unknown,
  retain: boolean,
): Promise<boolean> {
  if (client?.connected !== true || !isSubscribed(client, topic)) return Promise.resolve(false);
  const packet = {
    cmd: "publish",
    topic,
    payload: JSON.stringify(payload),
    qos: 1,
    retain,
    dup: false,
  } as const;
  return new Promise((done) => {
    client.publish(packet, (error) => done(error === undefined || error === null));
  });
}

function isSubscribed(client: Client, topic: string): boolean {
  const { subscriptions } = client as unknown as { subscriptions: Record<string, unknown> };
  return Object.keys(subscriptions).some((filter) => matches(filter, topic));
}

function listen(server: Server, { host, port }: ServerConfig["mqtt"]): Promise<{ port: number }> {
  return new Promise((listening, fail) => {
    server.once("error", fail);
    server.listen(port, host, () => {
      server.off("error", fail);
      const address = server.address();
      listening({ port: typeof address === "object" && address !== null ? address.port : port });
    });
  });
}

/** Connections of all kinds, also those that have not said anything yet. */
function trackSockets(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

async function close(
  aedes: Aedes,
  server: Server,
  sockets: ReadonlySet<Socket>,
  state: StateTracker,
): Promise<void> {
  const closed = new Promise<void>((done) => server.close(() => done()));
  for (const client of Object.values(
    (aedes as unknown as { clients: Record<string, Client> }).clients,
  )) {
    // Take no more messages, but let those under way be stored and acknowledged.
    client.conn.pause();
  }
  while (state.inFlight().mqtt > 0) await new Promise((next) => setImmediate(next));
  await new Promise<void>((done) => aedes.close(() => done()));
  for (const socket of sockets) socket.destroy();
  await closed;
}
