import { ActivationCode, activationCodeText, PayloadType, type HeaderNack } from "./codes.ts";
import type { RoutingActivationResponse } from "./control-messages.ts";
import type { DiagnosticMessage } from "./diagnostic-messages.ts";
import type { DoipMessage } from "./frame.ts";

export interface TesterConfig {
  source: number;
  activationType: number;
  /** How long the entity may take for its activation response and for each ACK. */
  activationMs: number;
  ackMs: number;
}

/** The client side waits 2 s for an acknowledgement (ISO 13400-2, A_DoIP_Diagnostic_Message). */
export const standardAckMs = 2_000;

/** What became of one diagnostic message on its way to the target network. */
export type AckOutcome =
  | { kind: "acknowledged" }
  | { kind: "refused"; code: number }
  /** The connection ended first; whether the target got the message is not known. */
  | { kind: "lost"; reason: string };

interface Awaited {
  id: number;
  target: number;
}

export type TesterState =
  | { phase: "opening" }
  | { phase: "activating" }
  | { phase: "active"; awaiting: readonly Awaited[] }
  | { phase: "closed" };

export type TesterTimer = "activation" | "ack";

export type TesterEvent =
  | { kind: "opened" }
  | { kind: "message"; message: DoipMessage }
  | { kind: "refused"; code: HeaderNack; fatal: boolean }
  | { kind: "send"; id: number; target: number; userData: Uint8Array }
  | { kind: "timer"; timer: TesterTimer }
  | { kind: "closed"; reason: string };

export type TesterEffect =
  | { kind: "send"; message: DoipMessage }
  | { kind: "start_timer"; timer: TesterTimer; ms: number }
  | { kind: "stop_timer"; timer: TesterTimer }
  | { kind: "activated" }
  | { kind: "outcome"; id: number; outcome: AckOutcome }
  | { kind: "received"; message: DiagnosticMessage }
  /** `denied` is the activation code where routing activation ended it. */
  | { kind: "close"; reason: string; denied?: number };

export interface TesterStep {
  state: TesterState;
  effects: TesterEffect[];
}

export const openingTester: TesterState = { phase: "opening" };

/**
 * One step of a DoIP tester's connection: routing activation, then any number of diagnostic
 * messages under way at once. An acknowledgement belongs to the oldest message to its source
 * address that has none yet.
 */
export function testerStep(
  config: TesterConfig,
  state: TesterState,
  event: TesterEvent,
): TesterStep {
  switch (event.kind) {
    case "opened":
      return opened(config, state);
    case "message":
      return received(config, state, event.message);
    case "refused":
      return event.fatal ? end(state, "the entity sent a malformed frame") : { state, effects: [] };
    case "send":
      return sending(config, state, event);
    case "timer":
      return end(state, timedOut[event.timer]);
    default:
      return end(state, event.reason);
  }
}

const timedOut: Record<TesterTimer, string> = {
  activation: "no routing activation response in time",
  ack: "no acknowledgement in time",
};

function opened(config: TesterConfig, state: TesterState): TesterStep {
  if (state.phase !== "opening") return { state, effects: [] };
  return {
    state: { phase: "activating" },
    effects: [
      {
        kind: "send",
        message: {
          type: PayloadType.routingActivationRequest,
          source: config.source,
          activationType: config.activationType,
          reserved: 0,
        },
      },
      { kind: "start_timer", timer: "activation", ms: config.activationMs },
    ],
  };
}

function received(config: TesterConfig, state: TesterState, message: DoipMessage): TesterStep {
  if (state.phase === "closed") return { state, effects: [] };
  switch (message.type) {
    case PayloadType.routingActivationResponse:
      return activationAnswered(config, state, message);
    case PayloadType.aliveCheckRequest: {
      const alive: DoipMessage = { type: PayloadType.aliveCheckResponse, source: config.source };
      return { state, effects: [{ kind: "send", message: alive }] };
    }
    case PayloadType.diagnosticMessage:
      return state.phase === "active" && message.target === config.source
        ? { state, effects: [{ kind: "received", message }] }
        : { state, effects: [] };
    case PayloadType.diagnosticAck:
      return acknowledged(config, state, message, { kind: "acknowledged" });
    case PayloadType.diagnosticNack:
      return acknowledged(config, state, message, { kind: "refused", code: message.code });
    case PayloadType.headerNack:
      return end(state, `the entity refused a frame with header NACK ${message.code}`);
    default:
      return { state, effects: [] };
  }
}

function activationAnswered(
  config: TesterConfig,
  state: TesterState,
  message: RoutingActivationResponse,
): TesterStep {
  if (state.phase !== "activating" || message.tester !== config.source) {
    return { state, effects: [] };
  }
  // 0x11 means that somebody in the vehicle still has to agree; the final code follows.
  if (message.code === ActivationCode.confirmationPending) return { state, effects: [] };
  if (message.code !== ActivationCode.activated) {
    const code = message.code.toString(16).padStart(2, "0");
    const text = activationCodeText(message.code);
    return end(state, `routing activation denied with 0x${code}, ${text}`, message.code);
  }
  return {
    state: { phase: "active", awaiting: [] },
    effects: [{ kind: "stop_timer", timer: "activation" }, { kind: "activated" }],
  };
}

function sending(
  config: TesterConfig,
  state: TesterState,
  event: Extract<TesterEvent, { kind: "send" }>,
): TesterStep {
  if (state.phase !== "active") {
    return {
      state,
      effects: [
        { kind: "outcome", id: event.id, outcome: { kind: "lost", reason: "not connected" } },
      ],
    };
  }
  const effects: TesterEffect[] = [
    {
      kind: "send",
      message: {
        type: PayloadType.diagnosticMessage,
        source: config.source,
        target: event.target,
        userData: event.userData,
      },
    },
  ];
  if (state.awaiting.length === 0) {
    effects.push({ kind: "start_timer", timer: "ack", ms: config.ackMs });
  }
  const awaiting = [...state.awaiting, { id: event.id, target: event.target }];
  return { state: { phase: "active", awaiting }, effects };
}

function acknowledged(
  config: TesterConfig,
  state: TesterState,
  { source, target }: { source: number; target: number },
  outcome: AckOutcome,
): TesterStep {
  if (state.phase !== "active" || target !== config.source) return { state, effects: [] };
  const index = state.awaiting.findIndex((awaited) => awaited.target === source);
  const awaited = state.awaiting[index];
  if (awaited === undefined) return { state, effects: [] };
  const awaiting = state.awaiting.toSpliced(index, 1);
  const effects: TesterEffect[] = [{ kind: "outcome", id: awaited.id, outcome }];
  // The timer always belongs to the oldest message, so it starts anew for the one behind it alone:
  // acknowledgements of others must not keep up a message that never gets its own.
  if (awaiting.length === 0) effects.unshift({ kind: "stop_timer", timer: "ack" });
  else if (index === 0) {
    effects.unshift({ kind: "start_timer", timer: "ack", ms: config.ackMs });
  }
  return { state: { phase: "active", awaiting }, effects };
}

/** A tester whose entity breaks the protocol starts over on a new connection. */
function end(state: TesterState, reason: string, denied?: number): TesterStep {
  if (state.phase === "closed") return { state, effects: [] };
  const awaiting = state.phase === "active" ? state.awaiting : [];
  return {
    state: { phase: "closed" },
    effects: [
      { kind: "close", reason, ...(denied !== undefined && { denied }) },
      ...awaiting.map(({ id }): TesterEffect => ({
        kind: "outcome",
        id,
        outcome: { kind: "lost", reason },
      })),
    ],
  };
}
