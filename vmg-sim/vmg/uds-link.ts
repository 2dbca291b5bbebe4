import { connectDoip, DoipConnectError, type DoipClient } from "#protocol/doip/client.ts";
import { systemClock, type Clock } from "#protocol/doip/clock.ts";
import { DiagnosticNack, diagnosticNackText } from "#protocol/doip/codes.ts";
import { standardAckMs, type AckOutcome } from "#protocol/doip/tester.ts";
import type { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";
import {
  exchangeStep,
  standardExchangeTiming,
  startExchange,
  type ExchangeEvent,
  type ExchangeStep,
  type ExchangeTiming,
} from "#protocol/uds/exchange.ts";
import { relate } from "#protocol/uds/response.ts";
import { exchangeWatch, type ExchangeWatch } from "./exchange-watch.ts";
import { serverTimings } from "./server-timing.ts";
import { udsLanes } from "./uds-lanes.ts";

export type UdsLinkErrorCode =
  /** The ECU did not answer in time. */
  | "UDS_TIMEOUT"
  /** The zonal gateway can't reach the ECU. */
  | "DOIP_UNREACHABLE"
  /** The zonal gateway refused the message; `wireCode` is its NACK. */
  | "DOIP_NACK"
  /** There is no connection to the zonal gateway, or it was lost before the answer. */
  | "DOIP_CONNECT"
  /** The zonal gateway knows no such ECU. */
  | "ECU_UNKNOWN";

/** No answer of the ECU, and why. */
export class UdsLinkError extends Error {
  readonly code: UdsLinkErrorCode;
  readonly wireCode: number | undefined;

  constructor(code: UdsLinkErrorCode, message: string, wireCode?: number) {
    super(message);
    this.name = "UdsLinkError";
    this.code = code;
    this.wireCode = wireCode;
  }
}

export interface UdsLinkOptions {
  host: string;
  port: number;
  /** The VMG's own logical address. */
  testerAddress?: number;
  clock?: Clock;
  connectMs?: number;
  timing?: Partial<ExchangeTiming>;
}

export interface UdsRequestOptions {
  signal?: AbortSignal | undefined;
  /** For the whole exchange, 78s and repetitions included. */
  timeoutMs?: number | undefined;
  /**
   * Called right before each sending, when it is this request's turn. What it throws, the request
   * rejects with, and nothing is sent.
   */
  beforeSend?: (() => void) | undefined;
  /** Called with the first 78. */
  onPending?: (() => void) | undefined;
  /** Called once, when the request is over, however it ended. */
  onTiming?: ((timing: VehicleTiming) => void) | undefined;
}

/** The answer of one of the ECUs that a group request reached. */
export interface FunctionalResponse {
  source: number;
  response: Uint8Array;
}

/** The VMG's connection to one zonal gateway, shared by all ECUs behind it. */
export interface UdsLink {
  /**
   * Asks one ECU; resolves with its final answer, which may be a negative one. Empty when the
   * request suppresses the positive answer. Requests to one ECU run one after the other.
   * @throws UdsLinkError, or the signal's reason
   */
  request(target: number, request: Uint8Array, options?: UdsRequestOptions): Promise<Uint8Array>;
  /**
   * Asks all ECUs of a group and collects what comes within the window; an ECU that sent 78 in it
   * gets P2* more.
   * @throws UdsLinkError, or the signal's reason
   */
  requestFunctional(
    group: number,
    request: Uint8Array,
    windowMs: number,
    options?: Omit<UdsRequestOptions, "timeoutMs">,
  ): Promise<FunctionalResponse[]>;
  /**
   * Sends what the ECU answers nothing to, past the requests that are under way or wait: a tester
   * present with its positive response suppressed. Resolves with the zonal gateway's acknowledgement.
   * @throws UdsLinkError
   */
  tell(target: number, request: Uint8Array): Promise<void>;
  close(): void;
}

/** A tester inside the vehicle, where no external one can be (ISO 13400-2, 0x0F00 to 0x0F7F). */
const TESTER_ADDRESS = 0x0f00;

const CONNECT_MS = 2_000;
const MAX_PAYLOAD = 0xffff + 4;

/** More ECUs than any zone has. */
const MOST_ANSWERS = 256;

/** P2 with the way there and back, on a machine with other work to do. */
const P2_CLIENT_MS = 2_000;

/** Connects with the first request, and anew with the next one after the connection was lost. */
export function createUdsLink(options: UdsLinkOptions): UdsLink {
  const { clock = systemClock } = options;
  const timing: ExchangeTiming = {
    ...standardExchangeTiming,
    p2Ms: P2_CLIENT_MS,
    ...options.timing,
  };
  const timings = serverTimings(timing);
  const lanes = udsLanes();
  const connection = reconnecting(options, clock);

  const converse = conversations(connection, clock);

  return {
    async request(target, request, requestOptions = {}) {
      const { signal, timeoutMs = timing.totalMs, onTiming } = requestOptions;
      const watch = exchangeWatch(clock, requestOptions.onPending);
      try {
        return await lanes.alone(target, signal, async () => {
          const limits = { ...timing, ...timings.of(target), totalMs: timeoutMs };
          const response = await converse<Uint8Array>(requestOptions, watch, (talk) =>
            askOne(talk, clock, limits, watch, target, request),
          );
          timings.note(target, request, response);
          return response;
        });
      } finally {
        onTiming?.(watch.timing());
      }
    },
    async requestFunctional(group, request, windowMs, requestOptions = {}) {
      const watch = exchangeWatch(clock, requestOptions.onPending);
      try {
        return await lanes.exclusively(requestOptions.signal, () =>
          converse<FunctionalResponse[]>(requestOptions, watch, (talk) =>
            askGroup(talk, timing, watch, group, request, windowMs),
          ),
        );
      } finally {
        requestOptions.onTiming?.(watch.timing());
      }
    },
    tell: (target, request) =>
      converse<void>({}, exchangeWatch(clock), ({ send, resolve }) => {
        send(target, request, resolve);
        return () => {};
      }),
    close: () => connection.close(),
  };
}

type Converse = <T>(
  options: UdsRequestOptions,
  watch: ExchangeWatch,
  start: (talk: Conversation<T>) => Receiver,
) => Promise<T>;

/** Runs exchanges until they settle, by themselves, by an abort or by the loss of the connection. */
function conversations(connection: Reconnecting, clock: Clock): Converse {
  return async function converse<T>(
    { signal, beforeSend }: UdsRequestOptions,
    watch: ExchangeWatch,
    start: (talk: Conversation<T>) => Receiver,
  ): Promise<T> {
    const client = await connection.open();
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const abort = () => reject(signal?.reason as Error);
    let cancelTimer = () => {};
    const wait = (ms: number, expired: () => void) => {
      cancelTimer();
      cancelTimer = clock.after(ms, expired);
    };
    const send: Conversation<T>["send"] = (target, request, accepted) => {
      try {
        beforeSend?.();
      } catch (error) {
        return reject(error);
      }
      watch.sent();
      client.send(target, request, (outcome) => {
        const error = refusal(outcome, target);
        if (error !== undefined) return reject(error);
        watch.accepted();
        accepted();
      });
    };
    const receive = start({ send, resolve, reject, wait });
    const listener = { receive, lost: (reason: string) => reject(notConnected(reason)) };
    connection.listeners.add(listener);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await promise;
    } finally {
      cancelTimer();
      connection.listeners.delete(listener);
      signal?.removeEventListener("abort", abort);
    }
  };
}

type Receiver = (source: number, response: Uint8Array) => void;

interface Reconnecting {
  readonly listeners: Set<{ receive: Receiver; lost: (reason: string) => void }>;
  /** The connection there is, or a new one. @throws UdsLinkError DOIP_CONNECT */
  open(): Promise<DoipClient>;
  close(): void;
}

function reconnecting(options: UdsLinkOptions, clock: Clock): Reconnecting {
  const listeners: Reconnecting["listeners"] = new Set();
  let client: Promise<DoipClient> | undefined;
  let closed = false;

  async function connect(): Promise<DoipClient> {
    try {
      return await connectDoip({
        host: options.host,
        port: options.port,
        source: options.testerAddress ?? TESTER_ADDRESS,
        clock,
        connectMs: options.connectMs ?? CONNECT_MS,
        ackMs: standardAckMs,
        maxPayload: MAX_PAYLOAD,
        onMessage({ source, userData }) {
          for (const { receive } of listeners) receive(source, userData);
        },
        onClosed(reason) {
          client = undefined;
          for (const { lost } of listeners) lost(reason);
        },
      });
    } catch (error) {
      client = undefined;
      throw error instanceof DoipConnectError ? notConnected(error.message) : error;
    }
  }

  return {
    listeners,
    open() {
      if (closed) return Promise.reject(notConnected("the link is closed"));
      client ??= connect();
      return client;
    },
    close() {
      closed = true;
      client?.then((connected) => connected.close()).catch(() => {});
    },
  };
}

function notConnected(reason: string): UdsLinkError {
  return new UdsLinkError("DOIP_CONNECT", reason);
}

/** What an exchange can do on the link; it ends with `resolve` or `reject`. */
interface Conversation<T> {
  /** `accepted` runs with the zonal gateway's acknowledgement. */
  send(target: number, request: Uint8Array, accepted: () => void): void;
  resolve(value: T): void;
  reject(error: Error): void;
  /** Replaces an earlier wait. */
  wait(ms: number, expired: () => void): void;
}

function askOne(
  talk: Conversation<Uint8Array>,
  clock: Clock,
  timing: ExchangeTiming,
  watch: ExchangeWatch,
  target: number,
  request: Uint8Array,
): Receiver {
  let state = startExchange(timing, clock.now());
  const feed = (event: ExchangeEvent) => {
    const step = exchangeStep(request, timing, state, event);
    state = step.state;
    if (step.action !== undefined) perform(step.action);
  };
  const perform = (action: NonNullable<ExchangeStep["action"]>) => {
    switch (action.kind) {
      case "send":
        return talk.send(target, request, () => feed({ kind: "accepted", now: clock.now() }));
      case "wait":
        return talk.wait(action.ms, () => feed({ kind: "timer", now: clock.now() }));
      case "finish":
        if (action.response.length > 0) watch.answered();
        return talk.resolve(action.response);
      default:
        return talk.reject(new UdsLinkError("UDS_TIMEOUT", `${address(target)} did not answer`));
    }
  };
  perform({ kind: "send" });
  return (source, response) => {
    if (source !== target) return;
    if (relate(request, response).kind === "pending") watch.pending();
    feed({ kind: "received", now: clock.now(), response });
  };
}

function askGroup(
  talk: Conversation<FunctionalResponse[]>,
  timing: ExchangeTiming,
  watch: ExchangeWatch,
  group: number,
  request: Uint8Array,
  windowMs: number,
): Receiver {
  const answers = new Map<number, FunctionalResponse>();
  const pending = new Set<number>();
  let windowOver = false;
  const finish = () => talk.resolve([...answers.values()]);
  talk.send(group, request, () => {
    talk.wait(windowMs, () => {
      windowOver = true;
      if (pending.size === 0) finish();
      else talk.wait(timing.p2StarMs, finish);
    });
  });
  return (source, response) => {
    const { kind } = relate(request, response);
    if (kind === "unrelated") return;
    if (kind === "pending") {
      watch.pending();
      pending.add(source);
      return;
    }
    pending.delete(source);
    // An ECU answers once; what comes without end is not kept.
    if (!answers.has(source) && answers.size < MOST_ANSWERS) {
      watch.answered();
      answers.set(source, { source, response });
    }
    if (windowOver && pending.size === 0) finish();
  };
}

function refusal(outcome: AckOutcome, target: number): UdsLinkError | undefined {
  if (outcome.kind === "acknowledged") return undefined;
  if (outcome.kind === "lost") return notConnected(outcome.reason);
  const { code } = outcome;
  const text = `${address(target)}: ${diagnosticNackText(code)}`;
  switch (code) {
    case DiagnosticNack.unknownTarget:
      return new UdsLinkError("ECU_UNKNOWN", text, code);
    case DiagnosticNack.targetUnreachable:
      return new UdsLinkError("DOIP_UNREACHABLE", text, code);
    default:
      return new UdsLinkError("DOIP_NACK", text, code);
  }
}

/** A logical address as people write it. */
export function address(target: number): string {
  return `0x${target.toString(16).toUpperCase().padStart(4, "0")}`;
}
