import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from "node:tls";
import { namedTimers, type Clock, type NamedTimers } from "./clock.ts";
import { PayloadType } from "./codes.ts";
import type { RoutingActivationRequest } from "./control-messages.ts";
import type { DiagnosticMessage } from "./diagnostic-messages.ts";
import { entityStep } from "./entity.ts";
import {
  idleEntity,
  standardTiming,
  type EntityConfig,
  type EntityEffect,
  type EntityEvent,
  type EntityTimer,
  type Security,
  type SocketId,
} from "./entity-state.ts";
import { ProtocolVersion, type DoipMessage } from "./frame.ts";
import { framedSocket, type FramedSocket } from "./framed-socket.ts";

/** Sockets that may be open beside the activated ones, while they ask for their activation. */
const SPARE_SOCKETS = 4;

/** Bytes around the UDS message in a diagnostic message. */
const ADDRESSES_LENGTH = 4;

/** One tester's connection, as the code behind the listener sees it. */
export interface DoipConnection {
  readonly id: SocketId;
  /** The tester does not take what was sent; `onDrain` says when it does again. */
  readonly congested: boolean;
  send(message: DoipMessage): void;
  /** Take no more messages from this tester until `resume`. */
  pause(): void;
  resume(): void;
}

/** A second port that speaks TLS (ISO 13400-2:2019, 3496). */
export interface TlsPort {
  /** 0 for any free one. */
  port: number;
  options: TlsOptions;
  /**
   * Whether a connection's certificate is one of a tester for this entity; by default whatever was
   * verified is. Where `options` reject who is unauthorised, the connection ends without.
   */
  isTester?(socket: TLSSocket): boolean;
}

export interface DoipListenerOptions {
  host: string;
  /** 0 for any free port. */
  port: number;
  entity: EntityConfig;
  clock: Clock;
  tls?: TlsPort | undefined;
  /** Asks whether a tester may be activated whose admission is pending; by default it may. */
  confirm?(request: RoutingActivationRequest): Promise<boolean>;
  /** `acknowledged` tells whether the 8002 has been sent or is left to the receiver. */
  onDiagnostic(connection: DoipConnection, message: DiagnosticMessage, acknowledged: boolean): void;
  onDrain?(connection: DoipConnection): void;
  onClosed?(connection: DoipConnection): void;
}

export interface DoipListener {
  readonly port: number;
  /** Absent without TLS. */
  readonly tlsPort: number | undefined;
  /** Sockets with an activated routing. */
  readonly activeSockets: number;
  /** Ends all connections and resets new ones, as an ECU does while it boots. */
  goOffline(): void;
  goOnline(): void;
  close(): Promise<void>;
}

const acceptedByEntity: readonly PayloadType[] = [
  PayloadType.headerNack,
  PayloadType.routingActivationRequest,
  PayloadType.aliveCheckResponse,
  PayloadType.diagnosticMessage,
];

interface OpenSocket {
  framed: FramedSocket;
  connection: DoipConnection;
  timers: NamedTimers<EntityTimer>;
}

/**
 * A DoIP entity on a TCP port: feeds sockets and timers to {@link entityStep} and does what it says.
 * @throws the listen error of `node:net` (EADDRINUSE and so on).
 */
export async function listenDoip(options: DoipListenerOptions): Promise<DoipListener> {
  const { entity } = options;
  const open = new Map<SocketId, OpenSocket>();
  let state = idleEntity;
  let lastId = 0;
  let online = true;

  function feed(event: EntityEvent): void {
    if (event.kind === "closed") open.delete(event.socket);
    const step = entityStep(entity, state, event);
    state = step.state;
    for (const effect of step.effects) perform(effect);
  }

  function perform(effect: EntityEffect): void {
    const socket = open.get(effect.socket);
    if (socket === undefined) return;
    switch (effect.kind) {
      case "send":
        return socket.framed.send(effect.message);
      case "start_timer":
        return socket.timers.start(effect.timer, effect.ms);
      case "stop_timer":
        return socket.timers.stop(effect.timer);
      case "confirm":
        return void confirm(effect.socket, effect.request);
      case "deliver":
        return options.onDiagnostic(socket.connection, effect.message, effect.acknowledged);
      case "close":
        socket.timers.stopAll();
        return socket.framed.end();
    }
  }

  async function confirm(socket: SocketId, request: RoutingActivationRequest): Promise<void> {
    const granted = await (options.confirm?.(request) ?? true);
    feed({ kind: "confirmed", socket, granted });
  }

  function accept(raw: Socket, secure?: Security): void {
    if (!online) {
      raw.resetAndDestroy();
      return;
    }
    lastId += 1;
    const id = lastId;
    open.set(id, openSocket(raw, id, options, feed));
    feed({ kind: "opened", socket: id, ...(secure && { secure }) });
  }

  const ports = await openPorts(options, accept);
  return {
    port: ports.port,
    tlsPort: ports.tlsPort,
    get activeSockets() {
      return [...state.sockets.values()].filter(({ phase }) => phase === "active").length;
    },
    goOffline() {
      online = false;
      state = idleEntity;
      for (const socket of open.values()) {
        socket.timers.stopAll();
        socket.framed.end();
      }
    },
    goOnline() {
      online = true;
    },
    close() {
      for (const socket of open.values()) socket.framed.destroy();
      return ports.close();
    },
  };
}

type Accept = (socket: Socket, secure?: Security) => void;

interface Ports {
  port: number;
  tlsPort: number | undefined;
  close(): Promise<void>;
}

/** Listens on the port, and on that for TLS; on both or none. */
async function openPorts(
  { host, port, tls, entity }: DoipListenerOptions,
  accept: Accept,
): Promise<Ports> {
  const listening: Server[] = [];
  const close = async () => {
    await Promise.all(listening.map((server) => new Promise((done) => server.close(done))));
  };
  const listen = async (server: Server, on: number) => {
    server.maxConnections = entity.maxSockets + SPARE_SOCKETS;
    server.listen(on, host);
    await once(server, "listening");
    listening.push(server);
    return (server.address() as AddressInfo).port;
  };
  try {
    const plain = createServer((socket) => accept(socket));
    return {
      port: await listen(plain, port),
      tlsPort: tls && (await listen(tlsServer(tls, accept), tls.port)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Whoever does not finish its handshake in the time for an activation does not get that far. */
function tlsServer({ options, isTester }: TlsPort, accept: Accept): Server {
  const handshakeTimeout = standardTiming.initialInactivityMs;
  const server = createTlsServer({ handshakeTimeout, ...options }, (socket) => {
    const isAuthenticated = socket.authorized && (isTester?.(socket) ?? true);
    if (!isAuthenticated && options.requestCert === true && options.rejectUnauthorized === true) {
      socket.destroy();
      return;
    }
    accept(socket, isAuthenticated ? "authenticated" : "tls");
  });
  // A handshake that fails is the end of that connection only.
  server.on("tlsClientError", (_, socket) => socket.destroy());
  return server;
}

/** Dresses an accepted TCP socket: frames, timers, and the connection shown to the outside. */
function openSocket(
  raw: Socket,
  id: SocketId,
  options: DoipListenerOptions,
  feed: (event: EntityEvent) => void,
): OpenSocket {
  const { entity, clock } = options;
  const timers = namedTimers<EntityTimer>(clock, (timer) =>
    feed({ kind: "timer", socket: id, timer }),
  );
  const framed = framedSocket(raw, {
    version: ProtocolVersion.iso2012,
    acceptance: {
      versions: [ProtocolVersion.iso2012, ProtocolVersion.iso2019],
      types: acceptedByEntity,
      // Twice the longest request, so that one a little too long gets its own diagnostic NACK.
      maxPayload: 2 * (entity.maxRequest + ADDRESSES_LENGTH),
    },
    clock,
    holdWhileCongested: true,
    onFrame: (event) => feed({ ...event, socket: id }),
    onDrain: () => options.onDrain?.(connection),
    onClosed() {
      timers.stopAll();
      feed({ kind: "closed", socket: id });
      options.onClosed?.(connection);
    },
  });
  const connection: DoipConnection = {
    id,
    get congested() {
      return framed.congested;
    },
    send(message) {
      framed.send(message);
      feed({ kind: "sent", socket: id });
    },
    pause: () => framed.pause(),
    resume: () => framed.resume(),
  };
  return { framed, connection, timers };
}
