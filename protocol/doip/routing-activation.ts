import { ActivationCode, PayloadType } from "./codes.ts";
import type { RoutingActivationRequest } from "./control-messages.ts";
import {
  prepend,
  send,
  startTimer,
  withSocket,
  type ActiveSocket,
  type EntityConfig,
  type EntityEffect,
  type EntitySocket,
  type EntityState,
  type EntityStep,
  type Security,
  type SocketId,
  type WaitingSocket,
} from "./entity-state.ts";

/** What a routing activation request comes to, in the order of the standard's figure. */
export function activationRequested(
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
  if (config.needsTls?.(request) === true && socket.secure === undefined) {
    return deny(config, state, id, request, ActivationCode.tlsRequired);
  }
  if (socket.phase === "opened") return activateOrWait(config, state, id, request);
  const source = socket.phase === "active" ? socket.source : socket.request.source;
  if (source !== request.source) {
    return deny(config, state, id, request, ActivationCode.otherSourceOnSocket);
  }
  // Once more, of another type perhaps; who waits for others already has its answer coming.
  return socket.phase === "active"
    ? admit(config, state, id, socket, request)
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
  const effects: EntityEffect[] = [
    { kind: "stop_timer", socket: id, timer: "initial_inactivity" },
    startTimer(config, id, "general_inactivity"),
  ];
  const socket: ActiveSocket = { phase: "active", source: request.source, checking: false };
  const taken = { ...socket, ...securityOf(state, id) };
  return prepend(effects, admit(config, state, id, taken, request));
}

/** Authentication and confirmation, for a socket that nothing else is in the way of. */
function admit(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  { confirming: _, ...socket }: ActiveSocket & { secure?: Security },
  request: RoutingActivationRequest,
): EntityStep {
  const code = config.admit?.(request, socket.secure) ?? ActivationCode.activated;
  if (
    code === ActivationCode.authenticationMissing ||
    code === ActivationCode.confirmationRejected
  ) {
    return deny(config, state, id, request, code);
  }
  const isPending = code === ActivationCode.confirmationPending;
  return {
    state: withSocket(state, id, { ...socket, ...(isPending && { confirming: request }) }),
    effects: [
      answer(config, id, request, code),
      ...(isPending ? [{ kind: "confirm", socket: id, request } as const] : []),
    ],
  };
}

/** Somebody in the vehicle has agreed to an activation, or has not. */
export function confirmed(
  config: EntityConfig,
  state: EntityState,
  id: SocketId,
  socket: EntitySocket,
  granted: boolean,
): EntityStep {
  if (socket.phase !== "active" || socket.confirming === undefined) return { state, effects: [] };
  const { confirming: request, ...active } = socket;
  if (!granted) return deny(config, state, id, request, ActivationCode.confirmationRejected);
  return {
    state: withSocket(state, id, active),
    effects: [answer(config, id, request, ActivationCode.activated)],
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
  let next = withSocket(state, id, { phase: "waiting", ...wait, ...securityOf(state, id) });
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

/** A socket that was asked whether it is alive is. */
export function aliveAnswered(
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

/** Closes a socket on this side. */
export function closeSocket(config: EntityConfig, state: EntityState, id: SocketId): EntityStep {
  return prepend([{ kind: "close", socket: id }], gone(config, state, id));
}

/** Whoever waited for this socket asks again, as if the request had come just now. */
export function gone(config: EntityConfig, state: EntityState, id: SocketId): EntityStep {
  const sockets = new Map(state.sockets);
  sockets.delete(id);
  let step: EntityStep = { state: { sockets }, effects: [] };
  for (const [waitingId, waiting] of sockets) {
    if (waiting.phase !== "waiting" || !waiting.on.includes(id)) continue;
    const opened: EntitySocket = { phase: "opened", ...securityOf(state, waitingId) };
    const reopened = withSocket(step.state, waitingId, opened);
    step = prepend(
      step.effects,
      activationRequested(config, reopened, waitingId, opened, waiting.request),
    );
  }
  return step;
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

function securityOf(state: EntityState, id: SocketId): { secure?: Security } {
  const secure = state.sockets.get(id)?.secure;
  return secure === undefined ? {} : { secure };
}
