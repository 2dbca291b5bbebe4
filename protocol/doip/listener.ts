import { createServer, type AddressInfo, type Socket } from "node:net";
import { namedTimers, type Clock, type NamedTimers } from "./clock.ts";
import { PayloadType } from "./codes.ts";
import type { DiagnosticMessage } from "./diagnostic-messages.ts";
import {
  entityStep,
  idleEntity,
  type EntityConfig,
  type EntityEffect,
  type EntityEvent,
  type EntityTimer,
  type SocketId,
} from "./entity.ts";
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

export interface DoipListenerOptions {
  host: string;
  /** 0 for any free port. */
  port: number;
  entity: EntityConfig;
  clock: Clock;
  /** `acknowledged` tells whether the 8002 has been sent or is left to the receiver. */
  onDiagnostic(connection: DoipConnection, message: DiagnosticMessage, acknowledged: boolean): void;
  onDrain?(connection: DoipConnection): void;
  onClosed?(connection: DoipConnection): void;
}

export interface DoipListener {
  readonly port: number;
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
      case "deliver":
        return options.onDiagnostic(socket.connection, effect.message, effect.acknowledged);
      case "close":
        socket.timers.stopAll();
        return socket.framed.end();
    }
  }

  function accept(raw: Socket): void {
    if (!online) {
      raw.resetAndDestroy();
      return;
    }
    lastId += 1;
    const id = lastId;
    open.set(id, openSocket(raw, id, options, feed));
    feed({ kind: "opened", socket: id });
  }

  const server = createServer(accept);
  server.maxConnections = entity.maxSockets + SPARE_SOCKETS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });

  return {
    port: (server.address() as AddressInfo).port,
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
    async close() {
      for (const socket of open.values()) socket.framed.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
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
    send: (message) => framed.send(message),
    pause: () => framed.pause(),
    resume: () => framed.resume(),
  };
  return { framed, connection, timers };
}
