import { ActivationCode, DiagnosticNack, PayloadType, type HeaderNack } from "./codes.ts";
import type { RoutingActivationRequest } from "./control-messages.ts";
import type { DiagnosticMessage } from "./diagnostic-messages.ts";
import type { DoipMessage } from "./frame.ts";

/** A number the socket edge gives each TCP connection. */
export type SocketId = number;

/** Milliseconds; the values of ISO 13400-2 by default. */
export interface EntityTiming {
  initialInactivityMs: number;
  generalInactivityMs: number;
  aliveCheckMs: number;
}

export const standardTiming: EntityTiming = {
  initialInactivityMs: 2_000,
  generalInactivityMs: 300_000,
  aliveCheckMs: 500,
};

/**
 * Who a target address is to the entity: itself (acknowledged at once), itself without room for one
 * more message, something behind it that acknowledges or refuses by itself, or nobody.
 */
export type TargetRoute = "own" | "full" | "forwarded" | "unknown";

export interface EntityConfig {
  logicalAddress: number;
  isTester(source: number): boolean;
  activationTypes: readonly number[];
  /** Sockets with an activated routing, at most. */
  maxSockets: number;
  /** Longest UDS message taken, in bytes. */
  maxRequest: number;
  routeOf(target: number): TargetRoute;
  timing: EntityTiming;
}

/** A new tester that waits for other sockets to prove that they are alive. */
interface WaitingSocket {
  phase: "waiting";
  request: RoutingActivationRequest;
  on: readonly SocketId[];
  /** The refusal when they all are. */
  refusal: number;
}

export type EntitySocket =
  | { phase: "opened" }
  | WaitingSocket
  | { phase: "active"; source: number; checking: boolean };

export interface EntityState {
  readonly sockets: ReadonlyMap<SocketId, EntitySocket>;
}

export type EntityTimer = "initial_inactivity" | "general_inactivity" | "alive_check";

export type EntityEvent =
  | { kind: "opened"; socket: SocketId }
  | { kind: "message"; socket: SocketId; message: DoipMessage }
  | { kind: "refused"; socket: SocketId; code: HeaderNack; fatal: boolean }
  | { kind: "timer"; socket: SocketId; timer: EntityTimer }
  | { kind: "closed"; socket: SocketId };

export type EntityEffect =
  | { kind: "send"; socket: SocketId; message: DoipMessage }
  | { kind: "start_timer"; socket: SocketId; timer: EntityTimer; ms: number }
  | { kind: "stop_timer"; socket: SocketId; timer: EntityTimer }
  | { kind: "deliver"; socket: SocketId; message: DiagnosticMessage; acknowledged: boolean }
  /** Close after what was sent has gone out; all timers of the socket end with it. */
  | { kind: "close"; socket: SocketId };

export interface EntityStep {
  state: EntityState;
  effects: EntityEffect[];
}

export const idleEntity: EntityState = { sockets: new Map() };

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
      state: withSocket(state, event.socket, { phase: "opened" }),
      effects: [startTimer(config, event.socket, "initial_inactivity")],
    };
  }
  const socket = state.sockets.get(event.socket);
  if (socket === undefined) return { state, effects: [] };
  switch (event.kind) {
    case "message":
      return received(config, state, event.socket, socket, event.message);
    case "timer":
      return closeSocket(config, state, event.socket);
    case "closed":
      return gone(config, state, event.socket);
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
  const keepAlive = socket.phase === "active" ? [startTimer(config, id, "general_inactivity")] : [];
  switch (message.type) {
    case PayloadType.routingActivationRequest:
      return prepend(keepAlive, activationRequested(config, state, id, socket, message));
    case PayloadType.aliveCheckResponse:
      return prepend(keepAlive, aliveAnswered(config, state, id, socket, message.source));
    case PayloadType.diagnosticMessage:
      return { state, effects: [...keepAlive, ...diagnose(config, id, socket, message)] };
    default:
      // A generic NACK is never answered: two entities would NACK each other for ever.
      return { state, effects: keepAlive };
  }
}

function activationRequested(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  socket: EntitySocket,
  request: RoutingActivationRequest,
): EntityStep {
  if (!config.isTester(request.source)) {
    return deny(config, state, id, request, ActivationCode.unknownSource);
  }
  if (!config.activationTypes.includes(request.activationType)) {
    return deny(config, state, id, request, ActivationCode.unsupportedType);
  }
  if (socket.phase === "opened") return activateOrWait(config, state, id, request);
  const source = socket.phase === "active" ? socket.source : socket.request.source;
  if (source !== request.source) {
    return deny(config, state, id, request, ActivationCode.otherSourceOnSocket);
  }
  return socket.phase === "active"
    ? { state, effects: [answer(config, id, request, ActivationCode.activated)] }
    : { state, effects: [] };
}

function activateOrWait(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  request: RoutingActivationRequest,
): EntityStep {
  const active: SocketId[] = [];
  const same: SocketId[] = [];
  for (const [other, socket] of state.sockets) {
    if (socket.phase !== "active") continue;
    active.push(other);
    if (socket.source === request.source) same.push(other);
  }
  if (same.length > 0) {
    const refusal = ActivationCode.sourceActiveElsewhere;
    return waitFor(config, state, id, { request, on: same, refusal });
  }
  if (active.length >= config.maxSockets) {
    const refusal = ActivationCode.noSocketFree;
    return waitFor(config, state, id, { request, on: active, refusal });
  }
  return activate(config, state, id, request);
}

function activate(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  request: RoutingActivationRequest,
): EntityStep {
  const active: EntitySocket = { phase: "active", source: request.source, checking: false };
  return {
    state: withSocket(state, id, active),
    effects: [
      { kind: "stop_timer", socket: id, timer: "initial_inactivity" },
      startTimer(config, id, "general_inactivity"),
      answer(config, id, request, ActivationCode.activated),
    ],
  };
}

function deny(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  request: RoutingActivationRequest,
  code: number,
): EntityStep {
  return prepend([answer(config, id, request, code)], closeSocket(config, state, id));
}

/** Asks the sockets in the way whether they are alive; the new one is answered by what they do. */
function waitFor(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  wait: Omit<WaitingSocket, "phase">,
): EntityStep {
  const effects: EntityEffect[] = [{ kind: "stop_timer", socket: id, timer: "initial_inactivity" }];
  let next = withSocket(state, id, { phase: "waiting", ...wait });
  for (const other of wait.on) {
    const socket = next.sockets.get(other);
    if (socket?.phase !== "active" || socket.checking) continue;
    next = withSocket(next, other, { ...socket, checking: true });
    effects.push(
      send(other, { type: PayloadType.aliveCheckRequest }),
      startTimer(config, other, "alive_check"),
    );
  }
  return { state: next, effects };
}

function aliveAnswered(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  socket: EntitySocket,
  source: number,
): EntityStep {
  if (socket.phase !== "active" || !socket.checking || socket.source !== source) {
    return { state, effects: [] };
  }
  let next = withSocket(state, id, { ...socket, checking: false });
  const effects: EntityEffect[] = [{ kind: "stop_timer", socket: id, timer: "alive_check" }];
  for (const [waitingId, waiting] of state.sockets) {
    if (waiting.phase !== "waiting" || !waiting.on.includes(id)) continue;
    const on = waiting.on.filter((other) => other !== id);
    if (on.length > 0) {
      next = withSocket(next, waitingId, { ...waiting, on });
      continue;
    }
    const denied = deny(config, next, waitingId, waiting.request, waiting.refusal);
    next = denied.state;
    effects.push(...denied.effects);
  }
  return { state: next, effects };
}

function closeSocket(config: EntityConfig, state: EntityState, id: SocketId): EntityStep {
  return prepend([{ kind: "close", socket: id }], gone(config, state, id));
}

/** Whoever waited for this socket asks again, as if the request had come just now. */
function gone(config: EntityConfig, state: EntityState, id: SocketId): EntityStep {
  const sockets = new Map(state.sockets);
  sockets.delete(id);
  let step: EntityStep = { state: { sockets }, effects: [] };
  for (const [waitingId, waiting] of sockets) {
    if (waiting.phase !== "waiting" || !waiting.on.includes(id)) continue;
    const opened: EntitySocket = { phase: "opened" };
    const reopened = withSocket(step.state, waitingId, opened);
    step = prepend(
      step.effects,
      activationRequested(config, reopened, waitingId, opened, waiting.request),
    );
  }
  return step;
}

function diagnose(
  config: EntityConfig,
  id: SocketId,
  socket: EntitySocket,
  message: DiagnosticMessage,
): EntityEffect[] {
  if (socket.phase !== "active" || socket.source !== message.source) {
    return [send(id, nackOf(message, DiagnosticNack.invalidSource))];
  }
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

function answer(
  config: EntityConfig,
  id: SocketId,
  request: RoutingActivationRequest,
  code: number,
): EntityEffect {
  return send(id, {
    type: PayloadType.routingActivationResponse,
    tester: request.source,
    entity: config.logicalAddress,
    code,
    reserved: 0,
  });
}

function startTimer(config: EntityConfig, socket: SocketId, timer: EntityTimer): EntityEffect {
  const { initialInactivityMs, generalInactivityMs, aliveCheckMs } = config.timing;
  const ms = {
    initial_inactivity: initialInactivityMs,
    general_inactivity: generalInactivityMs,
    alive_check: aliveCheckMs,
  }[timer];
  return { kind: "start_timer", socket, timer, ms };
}

function send(socket: SocketId, message: DoipMessage): EntityEffect {
  return { kind: "send", socket, message };
}

function withSocket(state: EntityState, id: SocketId, socket: EntitySocket): EntityState {
  return { sockets: new Map(state.sockets).set(id, socket) };
}

function prepend(effects: EntityEffect[], step: EntityStep): EntityStep {
  return { state: step.state, effects: [...effects, ...step.effects] };
}
