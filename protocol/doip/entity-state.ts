import type { ActivationCode, HeaderNack } from "./codes.ts";
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
  /** Whether this activation is for TLS only; by default none is. */
  needsTls?(request: RoutingActivationRequest): boolean;
  /**
   * Authentication and confirmation of a tester that may otherwise be activated; by default it is.
   * After `confirmationPending` the answer comes as an event, `confirmed`.
   */
  admit?(request: RoutingActivationRequest, security: Security | undefined): Admission;
  /** Sockets with an activated routing, at most. */
  maxSockets: number;
  /** Longest UDS message taken, in bytes. */
  maxRequest: number;
  routeOf(target: number): TargetRoute;
  timing: EntityTiming;
}

/** How a socket is protected: by TLS, and with a certificate of the tester that was verified. */
export type Security = "tls" | "authenticated";

/** Of {@link ActivationCode}, those that authentication and confirmation end with. */
export type Admission =
  | typeof ActivationCode.activated
  | typeof ActivationCode.authenticationMissing
  | typeof ActivationCode.confirmationRejected
  | typeof ActivationCode.confirmationPending;

/** A new tester that waits for other sockets to prove that they are alive. */
export interface WaitingSocket {
  phase: "waiting";
  request: RoutingActivationRequest;
  on: readonly SocketId[];
  /** The refusal when they all are. */
  refusal: number;
}

export interface ActiveSocket {
  phase: "active";
  source: number;
  /** It has been asked whether it is alive. */
  checking: boolean;
  /** Somebody in the vehicle still has to agree to this; nothing is routed before. */
  confirming?: RoutingActivationRequest;
}

export type EntitySocket = { secure?: Security } & (
  | { phase: "opened" }
  | WaitingSocket
  | ActiveSocket
);

export interface EntityState {
  readonly sockets: ReadonlyMap<SocketId, EntitySocket>;
}

export type EntityTimer = "initial_inactivity" | "general_inactivity" | "alive_check";

export type EntityEvent =
  | { kind: "opened"; socket: SocketId; secure?: Security }
  | { kind: "confirmed"; socket: SocketId; granted: boolean }
  | { kind: "message"; socket: SocketId; message: DoipMessage }
  | { kind: "refused"; socket: SocketId; code: HeaderNack; fatal: boolean }
  /** What lies behind the entity has sent the tester something. */
  | { kind: "sent"; socket: SocketId }
  | { kind: "timer"; socket: SocketId; timer: EntityTimer }
  | { kind: "closed"; socket: SocketId };

export type EntityEffect =
  | { kind: "send"; socket: SocketId; message: DoipMessage }
  | { kind: "start_timer"; socket: SocketId; timer: EntityTimer; ms: number }
  | { kind: "stop_timer"; socket: SocketId; timer: EntityTimer }
  /** Ask whoever has to agree; the answer comes back as `confirmed`. */
  | { kind: "confirm"; socket: SocketId; request: RoutingActivationRequest }
  | { kind: "deliver"; socket: SocketId; message: DiagnosticMessage; acknowledged: boolean }
  /** Close after what was sent has gone out; all timers of the socket end with it. */
  | { kind: "close"; socket: SocketId };

export interface EntityStep {
  state: EntityState;
  effects: EntityEffect[];
}

export const idleEntity: EntityState = { sockets: new Map() };

/** Starts a timer with the time that the configuration gives it. */
export function startTimer(
  config: EntityConfig,
  socket: SocketId,
  timer: EntityTimer,
): EntityEffect {
  const { initialInactivityMs, generalInactivityMs, aliveCheckMs } = config.timing;
  const ms = {
    initial_inactivity: initialInactivityMs,
    general_inactivity: generalInactivityMs,
    alive_check: aliveCheckMs,
  }[timer];
  return { kind: "start_timer", socket, timer, ms };
}

/** A message to a socket. */
export function send(socket: SocketId, message: DoipMessage): EntityEffect {
  return { kind: "send", socket, message };
}

/** The state with this socket in it. */
export function withSocket(state: EntityState, id: SocketId, socket: EntitySocket): EntityState {
  return { sockets: new Map(state.sockets).set(id, socket) };
}

/** The step with these effects before its own. */
export function prepend(effects: EntityEffect[], step: EntityStep): EntityStep {
  return { state: step.state, effects: [...effects, ...step.effects] };
}
