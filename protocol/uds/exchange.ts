import { Nrc } from "./nrc.ts";
import { relate } from "./response.ts";
import { suppressesPositive } from "./service.ts";

/** Milliseconds on the client side (ISO 14229-2). */
export interface ExchangeTiming {
  /** From the request to the first answer. */
  p2Ms: number;
  /** From each 78 to the next answer. */
  p2StarMs: number;
  /** For everything, however many 78s and repetitions come. */
  totalMs: number;
  /** How often a request is repeated that the ECU was too busy for. */
  busyRetries: number;
  /** Before the first repetition; twice as long before each further one. */
  busyPauseMs: number;
}

export const standardExchangeTiming: ExchangeTiming = {
  p2Ms: 50,
  p2StarMs: 5_000,
  totalMs: 30_000,
  busyRetries: 3,
  busyPauseMs: 100,
};

export interface ExchangeState {
  readonly deadline: number;
  readonly busyLeft: number;
  readonly phase: "sending" | "waiting" | "pausing" | "finished";
}

/** `now` in milliseconds on the clock of the caller. */
export type ExchangeEvent =
  | { kind: "accepted"; now: number }
  | { kind: "received"; now: number; response: Uint8Array }
  | { kind: "timer"; now: number };

export type ExchangeAction =
  | { kind: "send" }
  /** Wake up with a `timer` event; replaces an earlier wait. */
  | { kind: "wait"; ms: number }
  | { kind: "finish"; response: Uint8Array }
  | { kind: "time_out" };

export interface ExchangeStep {
  state: ExchangeState;
  action?: ExchangeAction;
}

export function startExchange(timing: ExchangeTiming, now: number): ExchangeState {
  return { deadline: now + timing.totalMs, busyLeft: timing.busyRetries, phase: "sending" };
}

/**
 * One step of a UDS request on its way to its final response: the P2 and P2* timers, any number of
 * 78s within the total deadline, repetition after 21 and 94. A request whose positive response is
 * suppressed finishes with an empty response when P2 passes in silence.
 */
export function exchangeStep(
  request: Uint8Array,
  timing: ExchangeTiming,
  state: ExchangeState,
  event: ExchangeEvent,
): ExchangeStep {
  if (state.phase === "finished") return { state };
  switch (event.kind) {
    case "accepted":
      return state.phase === "sending" ? wait(state, event.now, timing.p2Ms) : { state };
    case "timer":
      return timer(request, state, event.now);
    default:
      return received(request, timing, state, event);
  }
}

function timer(request: Uint8Array, state: ExchangeState, now: number): ExchangeStep {
  if (state.phase === "pausing" && now < state.deadline) {
    return { state: { ...state, phase: "sending" }, action: { kind: "send" } };
  }
  return state.phase === "waiting" && suppressesPositive(request)
    ? finish(state, new Uint8Array(0))
    : { state: { ...state, phase: "finished" }, action: { kind: "time_out" } };
}

function received(
  request: Uint8Array,
  timing: ExchangeTiming,
  state: ExchangeState,
  { response, now }: Extract<ExchangeEvent, { kind: "received" }>,
): ExchangeStep {
  const relation = relate(request, response);
  switch (relation.kind) {
    case "unrelated":
      return { state };
    case "pending":
      return wait(state, now, timing.p2StarMs);
    case "negative":
      if (!later.includes(relation.nrc) || state.busyLeft === 0) return finish(state, response);
      return {
        state: { ...state, busyLeft: state.busyLeft - 1, phase: "pausing" },
        action: { kind: "wait", ms: Math.min(pauseMs(timing, state), remaining(state, now)) },
      };
    default:
      return finish(state, response);
  }
}

/** Not now, but perhaps in a moment. */
const later: readonly number[] = [Nrc.busyRepeatRequest, Nrc.resourceTemporarilyNotAvailable];

function pauseMs({ busyRetries, busyPauseMs }: ExchangeTiming, { busyLeft }: ExchangeState) {
  return busyPauseMs * 2 ** (busyRetries - busyLeft);
}

function wait(state: ExchangeState, now: number, ms: number): ExchangeStep {
  return {
    state: { ...state, phase: "waiting" },
    action: { kind: "wait", ms: Math.min(ms, remaining(state, now)) },
  };
}

function finish(state: ExchangeState, response: Uint8Array): ExchangeStep {
  return { state: { ...state, phase: "finished" }, action: { kind: "finish", response } };
}

function remaining(state: ExchangeState, now: number): number {
  return Math.max(0, state.deadline - now);
}
