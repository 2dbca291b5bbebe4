import type { Socket } from "node:net";
import type { Clock } from "./clock.ts";
import { encodeFrame, type Acceptance, type DoipMessage } from "./frame.ts";
import { frameReader, type FrameEvent } from "./frame-reader.ts";

/** After our FIN the peer has this long to close its side. */
const LINGER_MS = 1_000;

export interface FramedSocketOptions {
  /** The protocol version to send until the peer has shown its own. */
  version: number;
  acceptance: Acceptance;
  clock: Clock;
  /**
   * Stop reading while the peer does not take what was sent. For the answering side only: two ends
   * that both stop would wait for each other for ever.
   */
  holdWhileCongested: boolean;
  onFrame(event: FrameEvent): void;
  /** What was queued for the peer has gone out. */
  onDrain(): void;
  onClosed(reason: string): void;
}

export interface FramedSocket {
  /** More is queued than the peer takes; wait for `onDrain` before adding to it. */
  readonly congested: boolean;
  send(message: DoipMessage): void;
  /** Frames wait, and the peer's sending with them, until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends the connection after what was sent has gone out; nothing more is read. */
  end(): void;
  destroy(): void;
}

/** DoIP frames over a TCP socket, one at a time and never more than the receiver asks for. */
export function framedSocket(socket: Socket, options: FramedSocketOptions): FramedSocket {
  const reader = frameReader(options.acceptance);
  let version = options.version;
  let paused = false;
  let pumping = false;
  let ended = false;
  let reason = "closed by the peer";
  let stopLingering = () => {};

  const taking = () =>
    !ended && !paused && !(options.holdWhileCongested && socket.writableNeedDrain);

  function pump(): void {
    if (pumping || ended) return;
    pumping = true;
    for (let event = next(); event !== undefined; event = next()) options.onFrame(event);
    pumping = false;
    if (taking()) socket.resume();
    else if (!ended) socket.pause();
  }

  function next(): FrameEvent | undefined {
    const event = taking() ? reader.next() : undefined;
    if (event?.kind === "message") version = event.version;
    return event;
  }

  socket.setNoDelay(true);
  socket.on("data", (segment: Buffer) => {
    if (!ended) reader.push(segment);
    pump();
  });
  socket.on("drain", () => {
    options.onDrain();
    pump();
  });
  socket.on("error", (error) => {
    reason = error.message;
  });
  socket.once("close", () => {
    ended = true;
    stopLingering();
    options.onClosed(reason);
  });
  return {
    get congested() {
      return socket.writableNeedDrain;
    },
    send(message) {
      if (!ended && !socket.destroyed) writeParts(socket, encodeFrame(message, version));
    },
    pause() {
      paused = true;
    },
    resume() {
      if (!paused) return;
      paused = false;
      pump();
    },
    end() {
      if (ended) return;
      ended = true;
      socket.end();
      socket.resume();
      stopLingering = options.clock.after(LINGER_MS, () => socket.destroy());
    },
    destroy() {
      ended = true;
      socket.destroy();
    },
  };
}

/** One write to the system for all parts, without joining them. */
function writeParts(socket: Socket, parts: Uint8Array[]): void {
  socket.cork();
  for (const part of parts) socket.write(part);
  socket.uncork();
}
