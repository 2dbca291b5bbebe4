import { DiagnosticNack, PayloadType } from "./codes.ts";
import type { DiagnosticMessage } from "./diagnostic-messages.ts";
import {
  prepend,
  send,
  startTimer,
  withSocket,
  type EntityConfig,
  type EntityEffect,
  type EntityEvent,
  type EntitySocket,
  type EntityState,
  type EntityStep,
  type SocketId,
} from "./entity-state.ts";
import type { DoipMessage } from "./frame.ts";
import {
  activationRequested,
  aliveAnswered,
  closeSocket,
  confirmed,
  gone,
} from "./routing-activation.ts";

/**
 * One step of a DoIP entity over all its TCP sockets (ISO 13400-2, socket handler, routing
 * activation handler, diagnostic message handler). Events of a socket it has already closed change
 * nothing.
 */
export function entityStep(
  config: EntityConfig,
  state: EntityState,
  event: EntityEvent,
): EntityStep {
  if (event.kind === "opened") {
    return {
      state: withSocket(state, event.socket, {
        phase: "opened",
        ...(event.secure && { secure: event.secure }),
      }),
      effects: [startTimer(config, event.socket, "initial_inactivity")],
    };
  }
  const socket = state.sockets.get(event.socket);
  if (socket === undefined) return { state, effects: [] };
  switch (event.kind) {
    case "message":
      return received(config, state, event.socket, socket, event.message);
    case "sent":
      return { state, effects: keepAlive(config, event.socket, socket) };
    case "timer":
      return closeSocket(config, state, event.socket);
    case "closed":
      return gone(config, state, event.socket);
    case "confirmed":
      return confirmed(config, state, event.socket, socket, event.granted);
    default:
      return refused(config, state, event);
  }
}

function refused(
  config: EntityConfig,
  state: EntityState,
  event: Extract<EntityEvent, { kind: "refused" }>,
): EntityStep {
  const nack = send(event.socket, { type: PayloadType.headerNack, code: event.code });
  return event.fatal
    ? prepend([nack], closeSocket(config, state, event.socket))
    : { state, effects: [nack] };
}

function received(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  socket: EntitySocket,
  message: DoipMessage,
): EntityStep {
  const alive = keepAlive(config, id, socket);
  switch (message.type) {
    case PayloadType.routingActivationRequest:
      return prepend(alive, activationRequested(config, state, id, socket, message));
    case PayloadType.aliveCheckResponse:
      return prepend(alive, aliveAnswered(config, state, id, socket, message.source));
    case PayloadType.diagnosticMessage:
      // DoIP-070: the one refusal of a diagnostic message that ends the connection.
      if (registeredSource(socket) !== message.source) {
        const nack = send(id, nackOf(message, DiagnosticNack.invalidSource));
        return prepend([nack], closeSocket(config, state, id));
      }
      return { state, effects: [...alive, ...diagnose(config, id, socket, message)] };
    default:
      // A generic NACK is never answered: two entities would NACK each other for ever.
      return { state, effects: alive };
  }
}

/** A socket is inactive when nothing is received on it, nor sent (T_TCP_General_Inactivity). */
function keepAlive(config: EntityConfig, id: SocketId, socket: EntitySocket): EntityEffect[] {
  return socket.phase === "active" ? [startTimer(config, id, "general_inactivity")] : [];
}

/** The tester whose socket it is, also while its activation waits for somebody. */
function registeredSource(socket: EntitySocket): number | undefined {
  switch (socket.phase) {
    case "opened":
      return undefined;
    case "waiting":
      return socket.request.source;
    case "active":
      return socket.source;
  }
}

function diagnose(
  config: EntityConfig,
  id: SocketId,
  socket: EntitySocket,
  message: DiagnosticMessage,
): EntityEffect[] {
  const isRouted = socket.phase === "active" && socket.confirming === undefined;
  if (!isRouted) return [send(id, nackOf(message, DiagnosticNack.invalidSource))];
  const route = config.routeOf(message.target);
  if (route === "unknown") return [send(id, nackOf(message, DiagnosticNack.unknownTarget))];
  if (message.userData.length > config.maxRequest) {
    return [send(id, nackOf(message, DiagnosticNack.messageTooLarge))];
  }
  if (route === "full") return [send(id, nackOf(message, DiagnosticNack.outOfMemory))];
  if (route === "forwarded") {
    return [{ kind: "deliver", socket: id, message, acknowledged: false }];
  }
  return [send(id, ackOf(message)), { kind: "deliver", socket: id, message, acknowledged: true }];
}

/** The 8002 to a diagnostic message. */
export function ackOf(message: DiagnosticMessage): DoipMessage {
  return {
    type: PayloadType.diagnosticAck,
    source: message.target,
    target: message.source,
    code: 0,
    previous: new Uint8Array(0),
  };
}

/** The 8003 to a diagnostic message. */
export function nackOf(message: DiagnosticMessage, code: number): DoipMessage {
  return {
    type: PayloadType.diagnosticNack,
    source: message.target,
    target: message.source,
    code,
    previous: new Uint8Array(0),
  };
}
