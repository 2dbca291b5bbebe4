import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HeaderNack, PayloadType } from "#protocol/doip/codes.ts";
import { encodeFrame, type Acceptance, type DoipMessage } from "#protocol/doip/frame.ts";
import { frameReader, type FrameEvent, type FrameReader } from "#protocol/doip/frame-reader.ts";

const acceptance: Acceptance = {
  versions: [2, 3],
  types: [
    PayloadType.headerNack,
    PayloadType.routingActivationRequest,
    PayloadType.aliveCheckResponse,
    PayloadType.diagnosticMessage,
  ],
  maxPayload: 1_000,
};

const activation: DoipMessage = {
  type: PayloadType.routingActivationRequest,
  source: 0x0e80,
  activationType: 0,
  reserved: 0,
};
const diagnostic: DoipMessage = {
  type: PayloadType.diagnosticMessage,
  source: 0x0e80,
  target: 0x1001,
  userData: Uint8Array.of(0x22, 0xf1, 0x90),
};
const alive: DoipMessage = { type: PayloadType.aliveCheckResponse, source: 0x0e80 };

const frame = (message: DoipMessage) => Buffer.concat(encodeFrame(message, 2));
const arrived = (message: DoipMessage): FrameEvent => ({ kind: "message", version: 2, message });

function drain(reader: FrameReader): FrameEvent[] {
  const events: FrameEvent[] = [];
  for (let event = reader.next(); event !== undefined; event = reader.next()) events.push(event);
  return events;
}

function readSegments(segments: readonly Uint8Array[]): FrameEvent[] {
  const reader = frameReader(acceptance);
  return segments.flatMap((segment) => {
    reader.push(segment);
    return drain(reader);
  });
}

/** Views and copies hold the same bytes; compare them as plain arrays. */
const plain = (events: readonly FrameEvent[]) => JSON.parse(JSON.stringify(events, bytesAsArray));
const bytesAsArray = (_: string, value: unknown) =>
  value instanceof Uint8Array || isBufferJson(value)
    ? Array.from(value instanceof Uint8Array ? value : value.data)
    : value;
const isBufferJson = (value: unknown): value is { type: "Buffer"; data: number[] } =>
  typeof value === "object" && value !== null && "data" in value && "type" in value;

const stream = Buffer.concat([frame(activation), frame(diagnostic), frame(alive)]);
const expected = plain([arrived(activation), arrived(diagnostic), arrived(alive)]);

describe("the frame reader", () => {
  test("takes merged frames out of one segment", () => {
    expect(plain(readSegments([stream]))).toEqual(expected);
  });

  test("gives the same frames split in two at every place", () => {
    for (let at = 0; at <= stream.length; at++) {
      const events = readSegments([stream.subarray(0, at), stream.subarray(at)]);
      expect(plain(events)).toEqual(expected);
    }
  });

  test("gives the same frames byte by byte", () => {
    const events = readSegments(Array.from(stream, (byte) => Uint8Array.of(byte)));
    expect(plain(events)).toEqual(expected);
  });

  test("gives the same frames split anywhere, any number of times", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 8 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const segments = places.slice(1).map((end, i) => stream.subarray(places[i], end));
        expect(plain(readSegments(segments))).toEqual(expected);
      }),
    );
  });

  test("yields one frame at a time, so that its caller can stop in between", () => {
    const reader = frameReader(acceptance);
    reader.push(stream);
    expect(plain([reader.next() as FrameEvent])).toEqual([expected[0]]);
    reader.push(frame(alive));
    expect(plain(drain(reader))).toEqual([expected[1], expected[2], expected[2]]);
  });

  test("does not copy a payload that its segment holds whole", () => {
    const reader = frameReader(acceptance);
    const segment = frame(diagnostic);
    reader.push(segment);
    const event = reader.next();
    const message = event?.kind === "message" ? event.message : undefined;
    expect(message?.type).toBe(PayloadType.diagnosticMessage);
    expect(message !== undefined && "userData" in message && message.userData.buffer).toBe(
      segment.buffer,
    );
  });

  test("ends at a wrong pattern", () => {
    const wrong = Buffer.from("02fc000500000000", "hex");
    expect(readSegments([Buffer.concat([wrong, stream]), stream])).toEqual([
      { kind: "refused", code: HeaderNack.incorrectPattern, fatal: true },
    ]);
  });

  test("ends at a length its type does not have", () => {
    const wrong = Buffer.from("02fd000500000008", "hex");
    expect(readSegments([Buffer.concat([wrong, stream]), stream])).toEqual([
      { kind: "refused", code: HeaderNack.invalidPayloadLength, fatal: true },
    ]);
  });

  test.each([
    ["an unknown type", "02fd12340000000a", HeaderNack.unknownPayloadType, 10],
    ["too large a message", "02fd8001000003e9", HeaderNack.messageTooLarge, 1_001],
  ])("skips %s and goes on behind it, however it is split", (_, header, code, length) => {
    const skipped = Buffer.concat([Buffer.from(header, "hex"), Buffer.alloc(length, 0xff)]);
    const whole = Buffer.concat([skipped, stream]);
    const refused = { kind: "refused", code, fatal: false };
    for (let at = 0; at <= skipped.length; at++) {
      const events = readSegments([whole.subarray(0, at), whole.subarray(at)]);
      expect(plain(events)).toEqual([refused, ...expected]);
    }
  });

  test("keeps nothing of a payload of 4 GiB", () => {
    const reader = frameReader(acceptance);
    reader.push(Buffer.from("02fd8001ffffffff", "hex"));
    expect(drain(reader)).toHaveLength(1);
    const segment = Buffer.alloc(1024 * 1024);
    const before = process.memoryUsage().arrayBuffers;
    for (let left = 0xffff_ffff; left > 0; left -= Math.min(left, segment.length)) {
      reader.push(segment.subarray(0, Math.min(left, segment.length)));
      expect(reader.next()).toBeUndefined();
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * segment.length);
    reader.push(stream);
    expect(plain(drain(reader))).toEqual(expected);
  });

  test("never throws and always comes to an end, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (segments) => {
        const reader = frameReader(acceptance);
        for (const segment of segments) {
          reader.push(segment);
          expect(drain(reader).length).toBeLessThanOrEqual(64);
        }
      }),
    );
  });
});
