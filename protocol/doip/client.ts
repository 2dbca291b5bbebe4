import { createConnection, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { namedTimers, type Clock } from "./clock.ts";
import { ActivationCode, ActivationType, PayloadType } from "./codes.ts";
import type { DiagnosticMessage } from "./diagnostic-messages.ts";
import { ProtocolVersion } from "./frame.ts";
import { framedSocket } from "./framed-socket.ts";
import {
  openingTester,
  testerStep,
  type AckOutcome,
  type TesterConfig,
  type TesterEffect,
  type TesterEvent,
  type TesterTimer,
} from "./tester.ts";

/** No activated connection came about: refused, timed out, or routing activation denied. */
export class DoipConnectError extends Error {
  readonly code = "DOIP_CONNECT";
  /** The routing activation response code, where that is what denied it. */
  readonly wireCode: number | undefined;

  constructor(host: string, port: number, reason: string, wireCode?: number) {
    super(`no DoIP connection to ${host}:${port}: ${reason}`);
    this.name = "DoipConnectError";
    this.wireCode = wireCode;
  }
}

export interface DoipClientOptions {
  host: string;
  port: number;
  /** Where to go, and how, when the entity wants TLS (activation code 07); by default nowhere. */
  tls?: { port: number; options: ConnectionOptions };
  /** The tester's logical address. */
  source: number;
  clock: Clock;
  /** TCP connection and routing activation, each within this time. */
  connectMs: number;
  /** Time for each acknowledgement; 2 s in the standard. */
  ackMs: number;
  /** Longest payload taken from the entity, in bytes. */
  maxPayload: number;
  onMessage(message: DiagnosticMessage): void;
  onDrain?(): void;
  onClosed(reason: string): void;
}

const versions = [ProtocolVersion.iso2012, ProtocolVersion.iso2019];

const acceptedByTester: readonly PayloadType[] = [
  PayloadType.headerNack,
  PayloadType.routingActivationResponse,
  PayloadType.aliveCheckRequest,
  PayloadType.diagnosticMessage,
  PayloadType.diagnosticAck,
  PayloadType.diagnosticNack,
];

/** A connection with routing activated. */
export interface DoipClient {
  /** More is queued than the entity takes. */
  readonly congested: boolean;
  /** Sends a UDS message; `onOutcome` runs once, before any answer that follows it. */
  send(target: number, userData: Uint8Array, onOutcome: (outcome: AckOutcome) => void): void;
  /** Take no more messages from the entity until `resume`. */
  pause(): void;
  resume(): void;
  close(): void;
}

/**
 * Connects to a DoIP entity and activates routing: in the clear, and by TLS if it asks for that.
 * @throws DoipConnectError
 */
export async function connectDoip(options: DoipClientOptions): Promise<DoipClient> {
  try {
    return await activate(options);
  } catch (error) {
    const wantsTls =
      error instanceof DoipConnectError && error.wireCode === ActivationCode.tlsRequired;
    if (!wantsTls || options.tls === undefined) throw error;
    return activate({ ...options, port: options.tls.port }, options.tls.options);
  }
}

async function activate(options: DoipClientOptions, tls?: ConnectionOptions): Promise<DoipClient> {
  const socket = await openSocket(options, tls);
  return new Promise((resolve, reject) => {
    activateRouting(socket, options, resolve, (reason, denied) =>
      reject(new DoipConnectError(options.host, options.port, reason, denied)),
    );
  });
}

function openSocket(
  { host, port, clock, connectMs }: DoipClientOptions,
  tls: ConnectionOptions | undefined,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = tls ? connectTls({ ...tls, host, port }) : createConnection({ host, port });
    const fail = (reason: string) => {
      cancel();
      socket.destroy();
      reject(new DoipConnectError(host, port, reason));
    };
    const cancel = clock.after(connectMs, () => fail(`no answer within ${connectMs} ms`));
    const onError = (error: Error) => fail(error.message);
    socket.once("error", onError);
    socket.once(tls ? "secureConnect" : "connect", () => {
      cancel();
      socket.off("error", onError);
      resolve(socket);
    });
  });
}

/** Runs {@link testerStep} over the socket, from the activation to the end of the connection. */
function activateRouting(
  socket: Socket,
  options: DoipClientOptions,
  onActivated: (client: DoipClient) => void,
  onDenied: (reason: string, code?: number) => void,
): void {
  const { clock, source, ackMs, connectMs } = options;
  const activationType = ActivationType.default;
  const config: TesterConfig = { source, activationType, activationMs: connectMs, ackMs };
  const outcomes = new Map<number, (outcome: AckOutcome) => void>();
  let state = openingTester;
  let onEnd = onDenied;
  let lastId = 0;

  const framed = framedSocket(socket, {
    version: ProtocolVersion.iso2012,
    acceptance: { versions, types: acceptedByTester, maxPayload: options.maxPayload },
    clock,
    holdWhileCongested: false,
    onFrame: (event) => feed(event),
    onDrain: () => options.onDrain?.(),
    onClosed: (reason) => feed({ kind: "closed", reason }),
  });
  const timers = namedTimers<TesterTimer>(clock, (timer) => feed({ kind: "timer", timer }));

  function feed(event: TesterEvent): void {
    const step = testerStep(config, state, event);
    state = step.state;
    for (const effect of step.effects) perform(effect);
  }

  function perform(effect: TesterEffect): void {
    switch (effect.kind) {
      case "send":
        // An entity that asks without end and reads nothing finds the answers that are queued.
        if (effect.message.type === PayloadType.aliveCheckResponse && framed.congested) return;
        return framed.send(effect.message);
      case "start_timer":
        return timers.start(effect.timer, effect.ms);
      case "stop_timer":
        return timers.stop(effect.timer);
      case "received":
        return options.onMessage(effect.message);
      case "outcome": {
        const report = outcomes.get(effect.id);
        outcomes.delete(effect.id);
        return report?.(effect.outcome);
      }
      case "activated":
        onEnd = (reason) => options.onClosed(reason);
        return onActivated(client);
      default:
        timers.stopAll();
        framed.end();
        return onEnd(effect.reason, effect.denied);
    }
  }

  const client: DoipClient = {
    get congested() {
      return framed.congested;
    },
    send(target, userData, onOutcome) {
      lastId += 1;
      outcomes.set(lastId, onOutcome);
      feed({ kind: "send", id: lastId, target, userData });
    },
    pause: () => framed.pause(),
    resume: () => framed.resume(),
    close: () => feed({ kind: "closed", reason: "closed on this side" }),
  };
  feed({ kind: "opened" });
}
