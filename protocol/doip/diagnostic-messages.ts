import type { ByteReader } from "#protocol/bytes/reader.ts";
import { byteWriter } from "#protocol/bytes/writer.ts";
import { PayloadType } from "./codes.ts";
import { atLeast, type PayloadCodec } from "./payload-codec.ts";

/** 8001: a UDS request or response. `userData` is a view on what was received. */
export interface DiagnosticMessage {
  type: typeof PayloadType.diagnosticMessage;
  source: number;
  target: number;
  userData: Uint8Array;
}

export const diagnosticMessage: PayloadCodec<DiagnosticMessage> = {
  name: "diagnostic message",
  transports: ["tcp"],
  fits: atLeast(5),
  decode: (reader) => ({
    type: PayloadType.diagnosticMessage,
    source: reader.u16("source address"),
    target: reader.u16("target address"),
    userData: reader.rest(),
  }),
  encode: (message) => [
    byteWriter().u16(message.source).u16(message.target).done(),
    message.userData,
  ],
};

interface Acknowledgement<Type> {
  type: Type;
  /** The address the acknowledged message was sent to. */
  source: number;
  /** The tester. */
  target: number;
  code: number;
  /** The start of the acknowledged message, when the entity repeats it. */
  previous: Uint8Array;
}

/** 8002: accepted for the target network, which does not mean answered. */
export type DiagnosticAckMessage = Acknowledgement<typeof PayloadType.diagnosticAck>;

/** 8003: not accepted. */
export type DiagnosticNackMessage = Acknowledgement<typeof PayloadType.diagnosticNack>;

export const diagnosticAck = acknowledgement(
  "diagnostic message positive acknowledge",
  PayloadType.diagnosticAck,
);

export const diagnosticNack = acknowledgement(
  "diagnostic message negative acknowledge",
  PayloadType.diagnosticNack,
);

function acknowledgement<Type>(name: string, type: Type): PayloadCodec<Acknowledgement<Type>> {
  return {
    name,
    transports: ["tcp"],
    fits: atLeast(5),
    decode: (reader: ByteReader) => ({
      type,
      source: reader.u16("source address"),
      target: reader.u16("target address"),
      code: reader.u8("code"),
      previous: reader.rest(),
    }),
    encode: (message) => [
      byteWriter().u16(message.source).u16(message.target).u8(message.code).done(),
      message.previous,
    ],
  };
}
