import { ByteError, ByteReader } from "#protocol/bytes/reader.ts";
import { HeaderNack, PayloadType } from "./codes.ts";
import {
  aliveCheckRequest,
  aliveCheckResponse,
  headerNack,
  routingActivationRequest,
  routingActivationResponse,
  type AliveCheckRequest,
  type AliveCheckResponse,
  type HeaderNackMessage,
  type RoutingActivationRequest,
  type RoutingActivationResponse,
} from "./control-messages.ts";
import {
  diagnosticAck,
  diagnosticMessage,
  diagnosticNack,
  type DiagnosticAckMessage,
  type DiagnosticMessage,
  type DiagnosticNackMessage,
} from "./diagnostic-messages.ts";
import {
  entityStatusRequest,
  entityStatusResponse,
  powerModeRequest,
  powerModeResponse,
  vehicleAnnouncement,
  vehicleIdentificationRequest,
  vehicleIdentificationRequestEid,
  vehicleIdentificationRequestVin,
  type EntityStatusRequest,
  type EntityStatusResponse,
  type PowerModeRequest,
  type PowerModeResponse,
  type VehicleAnnouncement,
  type VehicleIdentificationRequest,
  type VehicleIdentificationRequestEid,
  type VehicleIdentificationRequestVin,
} from "./discovery-messages.ts";
import type { PayloadCodec } from "./payload-codec.ts";

export type DoipMessage =
  | HeaderNackMessage
  | VehicleIdentificationRequest
  | VehicleIdentificationRequestEid
  | VehicleIdentificationRequestVin
  | VehicleAnnouncement
  | RoutingActivationRequest
  | RoutingActivationResponse
  | AliveCheckRequest
  | AliveCheckResponse
  | EntityStatusRequest
  | EntityStatusResponse
  | PowerModeRequest
  | PowerModeResponse
  | DiagnosticMessage
  | DiagnosticAckMessage
  | DiagnosticNackMessage;

export type MessageOf<Type extends PayloadType> = Extract<DoipMessage, { type: Type }>;

/** Every payload type has its codec, or this does not compile. */
export const payloadCodecs: { readonly [Type in PayloadType]: PayloadCodec<MessageOf<Type>> } = {
  [PayloadType.headerNack]: headerNack,
  [PayloadType.vehicleIdentificationRequest]: vehicleIdentificationRequest,
  [PayloadType.vehicleIdentificationRequestEid]: vehicleIdentificationRequestEid,
  [PayloadType.vehicleIdentificationRequestVin]: vehicleIdentificationRequestVin,
  [PayloadType.vehicleAnnouncement]: vehicleAnnouncement,
  [PayloadType.routingActivationRequest]: routingActivationRequest,
  [PayloadType.routingActivationResponse]: routingActivationResponse,
  [PayloadType.aliveCheckRequest]: aliveCheckRequest,
  [PayloadType.aliveCheckResponse]: aliveCheckResponse,
  [PayloadType.entityStatusRequest]: entityStatusRequest,
  [PayloadType.entityStatusResponse]: entityStatusResponse,
  [PayloadType.powerModeRequest]: powerModeRequest,
  [PayloadType.powerModeResponse]: powerModeResponse,
  [PayloadType.diagnosticMessage]: diagnosticMessage,
  [PayloadType.diagnosticAck]: diagnosticAck,
  [PayloadType.diagnosticNack]: diagnosticNack,
};

/** Bytes of a header: version, inverse version, payload type, payload length (ISO 13400-2). */
export const HEADER_LENGTH = 8;

/** Protocol versions by the edition that introduced them. */
export const ProtocolVersion = { iso2012: 0x02, iso2019: 0x03 } as const;

/** What a receiver takes; anything else is refused from the header alone. */
export interface Acceptance {
  versions: readonly number[];
  types: readonly PayloadType[];
  /** Largest payload in bytes. */
  maxPayload: number;
}

export type HeaderVerdict =
  | { kind: "accepted"; version: number; type: PayloadType; length: number }
  | { kind: "refused"; code: HeaderNack; fatal: boolean; length: number };

/**
 * Judges the first {@link HEADER_LENGTH} bytes of a frame, in the order of the standard's header
 * handler: pattern, type, size, and the length this type demands.
 */
export function judgeHeader(header: Uint8Array, acceptance: Acceptance): HeaderVerdict {
  const reader = new ByteReader(header);
  const version = reader.u8("protocol version");
  const inverse = reader.u8("inverse protocol version");
  const type = reader.u16("payload type");
  const length = reader.u32("payload length");
  if (inverse !== (version ^ 0xff) || !acceptance.versions.includes(version)) {
    return { kind: "refused", code: HeaderNack.incorrectPattern, fatal: true, length };
  }
  const accepted = acceptance.types.find((known) => known === type);
  if (accepted === undefined) {
    return { kind: "refused", code: HeaderNack.unknownPayloadType, fatal: false, length };
  }
  if (length > acceptance.maxPayload) {
    return { kind: "refused", code: HeaderNack.messageTooLarge, fatal: false, length };
  }
  if (!payloadCodecs[accepted].fits(length)) {
    return { kind: "refused", code: HeaderNack.invalidPayloadLength, fatal: true, length };
  }
  return { kind: "accepted", version, type: accepted, length };
}

/**
 * Decodes the payload of an accepted header; byte fields are views on it.
 * @throws ByteError when its length is none that the type has
 */
export function decodePayload(type: PayloadType, payload: Uint8Array): DoipMessage {
  const codec = payloadCodecs[type];
  if (!codec.fits(payload.length)) {
    const detail = `no payload of this type has ${payload.length} bytes`;
    throw new ByteError("BYTES_TRUNCATED", codec.name, detail);
  }
  return codec.decode(new ByteReader(payload));
}

/** A message as frame bytes, in pieces to be written one after the other. */
export function encodeFrame(message: DoipMessage, version: number): Uint8Array[] {
  const codec: PayloadCodec<DoipMessage> = payloadCodecs[message.type];
  const parts = codec.encode(message);
  const header = Buffer.allocUnsafe(HEADER_LENGTH);
  header.writeUInt8(version, 0);
  header.writeUInt8(version ^ 0xff, 1);
  header.writeUInt16BE(message.type, 2);
  header.writeUInt32BE(
    parts.reduce((sum, part) => sum + part.length, 0),
    4,
  );
  return [header, ...parts];
}
