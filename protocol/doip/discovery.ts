import { createHash } from "node:crypto";
import { HeaderNack, PayloadType } from "./codes.ts";
import type { VehicleAnnouncement } from "./discovery-messages.ts";
import {
  decodePayload,
  HEADER_LENGTH,
  judgeHeader,
  ProtocolVersion,
  type DoipMessage,
} from "./frame.ts";

/** What a DoIP entity says of itself by UDP. EID and GID have 6 bytes. */
export interface EntityIdentity {
  vin: string;
  logicalAddress: number;
  eid: Uint8Array;
  gid: Uint8Array;
  /** 0x00 none, 0x10 routing activation for central security. */
  furtherAction: number;
  /** 0x00 in sync, 0x10 incomplete; left out of the message when absent. */
  syncStatus?: number;
}

/** How the entity is just now. */
export interface EntityStatus {
  /** 0x00 gateway, 0x01 node. */
  nodeType: number;
  maxSockets: number;
  openSockets: number;
  /** Longest request in bytes. */
  maxDataSize: number;
  /** 0x00 not ready, 0x01 ready, 0x02 not supported. */
  powerMode: number;
}

export interface DatagramAnswer {
  message: DoipMessage;
  version: number;
  /** Wait a random part of A_DoIP_Announce_Wait: a whole network was asked, and all would answer. */
  delayed: boolean;
}

/** Any version: for testers that do not know the vehicle's yet. */
const ANY_VERSION = 0xff;

/** By UDP nothing is longer than an announcement. */
const MAX_PAYLOAD = 33;

const requests: readonly PayloadType[] = [
  PayloadType.vehicleIdentificationRequest,
  PayloadType.vehicleIdentificationRequestEid,
  PayloadType.vehicleIdentificationRequestVin,
  PayloadType.entityStatusRequest,
  PayloadType.powerModeRequest,
];

/** What other entities of the network send; an entity hears it as well, and has nothing to say. */
const answers: readonly PayloadType[] = [
  PayloadType.headerNack,
  PayloadType.vehicleAnnouncement,
  PayloadType.entityStatusResponse,
  PayloadType.powerModeResponse,
];

const acceptance = {
  versions: [ProtocolVersion.iso2012, ProtocolVersion.iso2019, ANY_VERSION],
  types: [...requests, ...answers],
  maxPayload: MAX_PAYLOAD,
};

/**
 * What a DoIP entity answers to a datagram on its discovery port (ISO 13400-2, UDP_DISCOVERY); a
 * datagram is one message, from its first byte to its last.
 * @returns undefined when nothing is to be said
 */
export function answerDatagram(
  identity: EntityIdentity,
  status: EntityStatus,
  datagram: Uint8Array,
): DatagramAnswer | undefined {
  // Not even a header: whoever sent that speaks something else.
  if (datagram.length < HEADER_LENGTH) return undefined;
  const payload = datagram.subarray(HEADER_LENGTH);
  const verdict = judgeHeader(datagram.subarray(0, HEADER_LENGTH), acceptance);
  if (verdict.kind === "refused") return nack(datagram, verdict.code);
  const { type, version } = verdict;
  if (answers.includes(type)) return undefined;
  if (version === ANY_VERSION && !isIdentification(type)) {
    return nack(datagram, HeaderNack.incorrectPattern);
  }
  if (verdict.length !== payload.length) return nack(datagram, HeaderNack.invalidPayloadLength);
  const message = answer(identity, status, decodePayload(type, payload));
  return message && { message, version: answerVersion(version), delayed: isIdentification(type) };
}

const NO_FURTHER_ACTION = 0x00;
const IN_SYNC = 0x00;

/**
 * The identity of the one gateway of a vehicle, which has no MAC address of its own: its EID is
 * locally administered, and the same for a name each time.
 */
export function gatewayIdentity(vin: string, logicalAddress: number, name = vin): EntityIdentity {
  const eid = createHash("sha256").update(name).digest().subarray(0, 6);
  eid.writeUInt8(((eid[0] ?? 0) & 0xfc) | 0x02, 0);
  // It is a group by itself.
  const gid = eid;
  return { vin, logicalAddress, eid, gid, furtherAction: NO_FURTHER_ACTION, syncStatus: IN_SYNC };
}

/** The vehicle announcement, which is the answer to an identification request as well. */
export function announcement({ vin, ...identity }: EntityIdentity): VehicleAnnouncement {
  return { type: PayloadType.vehicleAnnouncement, vin: padded(vin), ...identity };
}

function answer(
  identity: EntityIdentity,
  status: EntityStatus,
  request: DoipMessage,
): DoipMessage | undefined {
  switch (request.type) {
    case PayloadType.vehicleIdentificationRequest:
      return announcement(identity);
    case PayloadType.vehicleIdentificationRequestEid:
      return Buffer.from(request.eid).equals(identity.eid) ? announcement(identity) : undefined;
    case PayloadType.vehicleIdentificationRequestVin:
      return request.vin === padded(identity.vin) ? announcement(identity) : undefined;
    case PayloadType.powerModeRequest:
      return { type: PayloadType.powerModeResponse, mode: status.powerMode };
    default: {
      const { nodeType, maxSockets, openSockets, maxDataSize } = status;
      return {
        type: PayloadType.entityStatusResponse,
        nodeType,
        maxSockets,
        openSockets,
        maxDataSize,
      };
    }
  }
}

function isIdentification(type: PayloadType): boolean {
  return (
    type === PayloadType.vehicleIdentificationRequest ||
    type === PayloadType.vehicleIdentificationRequestEid ||
    type === PayloadType.vehicleIdentificationRequestVin
  );
}

function nack(datagram: Uint8Array, code: HeaderNack): DatagramAnswer {
  const message = { type: PayloadType.headerNack, code } as const;
  return { message, version: answerVersion(datagram[0] ?? 0), delayed: false };
}

/** The version that was asked in, when it is one to answer in. */
function answerVersion(version: number): number {
  return version === ProtocolVersion.iso2019 ? version : ProtocolVersion.iso2012;
}

/** Ids that are shorter than a VIN are filled up with blanks, as in DID F190. */
function padded(vin: string): string {
  return vin.padEnd(17, " ");
}
