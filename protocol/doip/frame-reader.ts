import type { HeaderNack, PayloadType } from "./codes.ts";
import {
  decodePayload,
  HEADER_LENGTH,
  judgeHeader,
  type Acceptance,
  type DoipMessage,
} from "./frame.ts";

export type FrameEvent =
  | { kind: "message"; version: number; message: DoipMessage }
  /** After a fatal refusal the stream is out of step and the socket has to be closed. */
  | { kind: "refused"; code: HeaderNack; fatal: boolean };

/** Takes the bytes of a TCP stream as they come, yields one frame at a time. */
export interface FrameReader {
  push(segment: Uint8Array): void;
  /** The next frame that is complete; undefined when more bytes are needed or after a fatal one. */
  next(): FrameEvent | undefined;
}

/**
 * A payload is a view on its segment when the segment holds it whole; otherwise one buffer of its
 * exact length is filled. A refused payload is skipped as it arrives, never kept.
 */
export function frameReader(acceptance: Acceptance): FrameReader {
  const input = segments();
  const header = Buffer.alloc(HEADER_LENGTH);
  let headerFilled = 0;
  let body: { version: number; type: PayloadType; bytes: Buffer; filled: number } | undefined;
  let toSkip = 0;
  let dead = false;

  function next(): FrameEvent | undefined {
    if (dead) return undefined;
    toSkip -= input.skip(toSkip);
    if (toSkip > 0) return undefined;
    if (body !== undefined) return fillBody(body);
    headerFilled += input.copyTo(header, headerFilled);
    if (headerFilled < HEADER_LENGTH) return undefined;
    headerFilled = 0;
    const verdict = judgeHeader(header, acceptance);
    if (verdict.kind === "refused") {
      dead = verdict.fatal;
      toSkip = verdict.length;
      return { kind: "refused", code: verdict.code, fatal: verdict.fatal };
    }
    const { version, type, length } = verdict;
    const whole = input.view(length);
    if (whole !== undefined) {
      return { kind: "message", version, message: decodePayload(type, whole) };
    }
    body = { version, type, bytes: Buffer.allocUnsafeSlow(length), filled: 0 };
    return fillBody(body);
  }

  function fillBody(frame: NonNullable<typeof body>): FrameEvent | undefined {
    frame.filled += input.copyTo(frame.bytes, frame.filled);
    if (frame.filled < frame.bytes.length) return undefined;
    body = undefined;
    const message = decodePayload(frame.type, frame.bytes);
    return { kind: "message", version: frame.version, message };
  }

  return { push: (segment) => input.push(segment), next };
}

/** The segments not read yet, consumed from the front without joining them. */
function segments() {
  const queue: Uint8Array[] = [];
  let at = 0;

  function advance(length: number): void {
    at += length;
    if (at === queue[0]?.length) {
      queue.shift();
      at = 0;
    }
  }

  return {
    push(segment: Uint8Array): void {
      if (segment.length > 0) queue.push(segment);
    },
    /** The next bytes as a view, when the first segment holds all of them. */
    view(length: number): Uint8Array | undefined {
      if (length === 0) return new Uint8Array(0);
      const first = queue[0];
      if (first === undefined || first.length - at < length) return undefined;
      const bytes = first.subarray(at, at + length);
      advance(length);
      return bytes;
    },
    copyTo(destination: Uint8Array, offset: number): number {
      let copied = 0;
      for (let first = queue[0]; first !== undefined; first = queue[0]) {
        const length = Math.min(first.length - at, destination.length - offset - copied);
        if (length === 0) break;
        destination.set(first.subarray(at, at + length), offset + copied);
        copied += length;
        advance(length);
      }
      return copied;
    },
    skip(length: number): number {
      let skipped = 0;
      for (let first = queue[0]; first !== undefined && skipped < length; first = queue[0]) {
        const step = Math.min(first.length - at, length - skipped);
        skipped += step;
        advance(step);
      }
      return skipped;
    },
  };
}
