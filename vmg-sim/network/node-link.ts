import { connectDoip, type DoipClient } from "#protocol/doip/client.ts";
import type { Clock } from "#protocol/doip/clock.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import type { AckOutcome } from "#protocol/doip/tester.ts";

/** Well within the 2 s that a tester waits for its acknowledgement. */
const CONNECT_MS = 1_000;
const ACK_MS = 1_000;

const MAX_PAYLOAD = 0xffff + 4;

/** Messages that the node has not acknowledged, or that wait for its connection. */
const MAX_UNDER_WAY = 16;

export interface NodeLinkOptions {
  host: string;
  port: number;
  /** The tester on whose behalf the node is asked. */
  source: number;
  clock: Clock;
  onMessage(message: DiagnosticMessage): void;
  /** The link takes messages again. */
  onDrain(): void;
}

/** One tester's connection to one DoIP node behind a gateway: made with the first message, made anew when it was lost. */
export interface NodeLink {
  /** As much waits as may; hold the tester until `onDrain`. */
  readonly congested: boolean;
  forward(target: number, userData: Uint8Array, onOutcome: (outcome: AckOutcome) => void): void;
  /** Take nothing from the node while the tester does not take it either. */
  pause(): void;
  resume(): void;
  close(): void;
}

interface WaitingMessage {
  target: number;
  userData: Uint8Array;
  onOutcome: (outcome: AckOutcome) => void;
}

export function nodeLink(options: NodeLinkOptions): NodeLink {
  let client: DoipClient | undefined;
  let connecting = false;
  let closed = false;
  let paused = false;
  let underWay = 0;
  let waiting: WaitingMessage[] = [];

  async function connect(): Promise<void> {
    connecting = true;
    let alive = true;
    try {
      const connected = await connectDoip({
        ...options,
        connectMs: CONNECT_MS,
        ackMs: ACK_MS,
        maxPayload: MAX_PAYLOAD,
        onClosed() {
          alive = false;
          client = undefined;
        },
      });
      connecting = false;
      if (closed) return connected.close();
      if (alive) client = connected;
      if (paused) connected.pause();
      for (const { target, userData, onOutcome } of take()) {
        connected.send(target, userData, onOutcome);
      }
    } catch (error) {
      connecting = false;
      const reason = (error as Error).message;
      for (const { onOutcome } of take()) onOutcome({ kind: "lost", reason });
    }
  }

  function take(): WaitingMessage[] {
    const taken = waiting;
    waiting = [];
    return taken;
  }

  return {
    get congested() {
      return underWay >= MAX_UNDER_WAY || client?.congested === true;
    },
    forward(target, userData, report) {
      underWay += 1;
      const onOutcome = (outcome: AckOutcome) => {
        underWay -= 1;
        report(outcome);
        options.onDrain();
      };
      if (client !== undefined) return client.send(target, userData, onOutcome);
      waiting.push({ target, userData, onOutcome });
      if (!connecting) void connect();
    },
    pause() {
      paused = true;
      client?.pause();
    },
    resume() {
      paused = false;
      client?.resume();
    },
    close() {
      closed = true;
      client?.close();
    },
  };
}
