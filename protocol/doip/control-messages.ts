import { byteWriter } from "#protocol/bytes/writer.ts";
import { PayloadType } from "./codes.ts";
import { exactly, type PayloadCodec } from "./payload-codec.ts";

/** 0000: the header of the last message was refused. */
export interface HeaderNackMessage {
  type: typeof PayloadType.headerNack;
  code: number;
}

export const headerNack: PayloadCodec<HeaderNackMessage> = {
  name: "generic header negative acknowledge",
  transports: ["udp", "tcp"],
  fits: exactly(1),
  decode: (reader) => ({ type: PayloadType.headerNack, code: reader.u8("NACK code") }),
  encode: (message) => [Uint8Array.of(message.code)],
};

/** 0005: a tester asks to be routed. `reserved` and `oem` are 32-bit values as on the wire. */
export interface RoutingActivationRequest {
  type: typeof PayloadType.routingActivationRequest;
  source: number;
  activationType: number;
  reserved: number;
  oem?: number;
}

export const routingActivationRequest: PayloadCodec<RoutingActivationRequest> = {
  name: "routing activation request",
  transports: ["tcp"],
  fits: exactly(7, 11),
  decode: (reader) => ({
    type: PayloadType.routingActivationRequest,
    source: reader.u16("source address"),
    activationType: reader.u8("activation type"),
    reserved: reader.u32("reserved"),
    ...(reader.remaining > 0 && { oem: reader.u32("OEM specific") }),
  }),
  encode(message) {
    const writer = byteWriter()
      .u16(message.source)
      .u8(message.activationType)
      .u32(message.reserved);
    if (message.oem !== undefined) writer.u32(message.oem);
    return [writer.done()];
  },
};

/** 0006: the entity's answer. */
export interface RoutingActivationResponse {
  type: typeof PayloadType.routingActivationResponse;
  tester: number;
  entity: number;
  code: number;
  reserved: number;
  oem?: number;
}

export const routingActivationResponse: PayloadCodec<RoutingActivationResponse> = {
  name: "routing activation response",
  transports: ["tcp"],
  fits: exactly(9, 13),
  decode: (reader) => ({
    type: PayloadType.routingActivationResponse,
    tester: reader.u16("tester address"),
    entity: reader.u16("entity address"),
    code: reader.u8("response code"),
    reserved: reader.u32("reserved"),
    ...(reader.remaining > 0 && { oem: reader.u32("OEM specific") }),
  }),
  encode(message) {
    const writer = byteWriter()
      .u16(message.tester)
      .u16(message.entity)
      .u8(message.code)
      .u32(message.reserved);
    if (message.oem !== undefined) writer.u32(message.oem);
    return [writer.done()];
  },
};

/** 0007: is the tester on this socket still there? */
export interface AliveCheckRequest {
  type: typeof PayloadType.aliveCheckRequest;
}

export const aliveCheckRequest: PayloadCodec<AliveCheckRequest> = {
  name: "alive check request",
  transports: ["tcp"],
  fits: exactly(0),
  decode: () => ({ type: PayloadType.aliveCheckRequest }),
  encode: () => [],
};

/** 0008: it is; sent unasked it keeps the socket from being closed for inactivity. */
export interface AliveCheckResponse {
  type: typeof PayloadType.aliveCheckResponse;
  source: number;
}

export const aliveCheckResponse: PayloadCodec<AliveCheckResponse> = {
  name: "alive check response",
  transports: ["tcp"],
  fits: exactly(2),
  decode: (reader) => ({
    type: PayloadType.aliveCheckResponse,
    source: reader.u16("source address"),
  }),
  encode: (message) => [byteWriter().u16(message.source).done()],
};
