import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import { Aedes } from "aedes";
import type { ServerConfig } from "#config/server.ts";
import { serverTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import {
  matches,
  maySubscribe,
  parseTopic,
  topicOf,
  type VehicleTopic,
} from "#protocol/mqtt/topic.ts";
import type { Admission } from "#server/runtime/admission.ts";
import { connectionOf, watchConnections, type TlsConnection } from "#server/runtime/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { StateTracker } from "#server/runtime/state.ts";
import {
  clientsOf,
  keepFromSubscribers,
  keepGranted,
  keepSessions,
  stopReading,
  subscriptionsOf,
  takeOverAtOnce,
} from "./aedes-internals.ts";
import type { TopicHandler } from "./handler.ts";
import { inboundRules } from "./inbound.ts";
import { createOutgoing, type SendResult } from "./outgoing.ts";
import { limitPackets } from "./packet-limit.ts";
import { refuseOtherLevels } from "./protocol-level.ts";
import { createSessions } from "./sessions.ts";
import { closeAtViolations } from "./violations.ts";

export interface MqttDeps {
  config: Pick<ServerConfig, "mqtt" | "tls">;
  identities: readonly TlsIdentity[];
  clientCa: string;
  log: Log;
  metrics: Metrics;
  state: StateTracker;
  admission: Admission;
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
  /** Sends to a vehicle that is connected and subscribed, with QoS 1 or less if it asked for less. */
  send(
    vin: string,
    topic: VehicleTopic,
    payload: unknown,
    options?: { retain?: boolean },
  ): SendResult;
  /** The vehicle's present connection, to tell it from an earlier one; undefined without one. */
  connection(vin: string): object | undefined;
  /** The vehicles that are connected here. */
  connected(): string[];
  /** Gives new handshakes other certificates; connections that are open stay. */
  setSecureContext(options: TlsOptions): void;
  listen(): Promise<{ port: number }>;
  /** Stops taking connections and messages, waits for those under way, closes the connections. */
  close(): Promise<void>;
}

export async function createMqtt(deps: MqttDeps): Promise<Mqtt> {
  const { config, log } = deps;
  const handlers = new Map<VehicleTopic, TopicHandler>();
  const sessions = createSessions();
  const aedes = await Aedes.createBroker({
    // 0 is mqemitter's "no limit": any other value overflows the stack under a burst of QoS 1.
    concurrency: 0,
    maxClientsIdLength: 64,
    queueLimit: 1000,
    ...inboundRules(deps, handlers, sessions),
  });
  takeOverAtOnce(aedes);
  keepFromSubscribers(aedes);
  keepSessions(aedes, sessions);
  keepGranted(aedes, (client, filter) => maySubscribe(client.id, filter));
  const acknowledgements = new Map<VehicleTopic, (vin: string, payload: Buffer) => void>();
  const outgoing = createOutgoing(aedes, (client, { topic, payload }) => {
    const name = parseTopic(topic)?.name;
    if (name) acknowledgements.get(name)?.(client.id, payload);
  });
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
  watchConnections(server, { ...deps, listener: "mqtt" });
  const sockets = trackSockets(server);
  server.on("error", (error) => log.error({ err: error }, "MQTT listener failed"));
  server.on("secureConnection", (socket) => {
    if (!admit(socket, deps)) return;
    const client = aedes.handle(socket);
    limitPackets(client, config.mqtt.payload_limit);
    refuseOtherLevels(client);
    closeAtViolations(client);
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
    whenAcknowledged: (topic, callback) => acknowledgements.set(topic, callback),
    send: (vin, topic, payload, { retain = false } = {}) =>
      outgoing.send(clientsOf(aedes)[vin], {
        topic: topicOf(vin, topic),
        payload: Buffer.from(JSON.stringify(payload)),
        retain,
      }),
    connection: (vin) => clientsOf(aedes)[vin],
    connected: () => Object.keys(clientsOf(aedes)),
    setSecureContext: (options) => server.setSecureContext(options),
    listen: () => listen(server, config.mqtt),
    close: () => close(aedes, server, sockets, deps.state),
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

function observeClients(aedes: Aedes, { log, metrics }: MqttDeps): void {
  aedes.on("clientReady", (client) => {
    metrics.mqttConnected.set(aedes.connectedClients);
    log.info({ vehicle: client.id }, "[MQTT] Vehicle connected");
  });
  aedes.on("clientDisconnect", (client) => {
    metrics.mqttConnected.set(aedes.connectedClients);
    log.info({ vehicle: client.id }, "[MQTT] Vehicle disconnected");
  });
  aedes.on("clientError", (client, error) => {
    // Each answer that a closed connection does not get any more is an error too.
    if (client.closed) return;
    log.warn({ vehicle: client.id, err: error.message }, "[MQTT] Connection closed");
  });
  aedes.on("connectionError", (client, error) => {
    const code = "MQTT_CONNECT_REFUSED";
    metrics.mqttRefused.inc({ reason: code });
    const remote = (client.conn as TLSSocket).remoteAddress;
    log.warn({ remote, code, err: error.message }, "[MQTT] Connection refused");
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
    const filters = Object.keys(subscriptionsOf(client));
    if (filters.length > 0) callback(client.id, filters);
  });
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
  // Take no more messages, but let those under way be stored and acknowledged.
  stopReading(aedes);
  await state.whenIdle("mqtt");
  await new Promise((acknowledged) => setImmediate(acknowledged));
  await new Promise<void>((done) => aedes.close(() => done()));
  // Closing the connections has made wills of them, which are messages too.
  await state.whenIdle("mqtt");
  for (const socket of sockets) socket.destroy();
  await closed;
}
