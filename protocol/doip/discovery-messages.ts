import { byteWriter } from "#protocol/bytes/writer.ts";
import { PayloadType } from "./codes.ts";
import { exactly, type PayloadCodec } from "./payload-codec.ts";

const VIN_LENGTH = 17;
const ID_LENGTH = 6;

/** 0001: who is there? */
export interface VehicleIdentificationRequest {
  type: typeof PayloadType.vehicleIdentificationRequest;
}

export const vehicleIdentificationRequest = empty<VehicleIdentificationRequest>(
  "vehicle identification request",
  { type: PayloadType.vehicleIdentificationRequest },
);

/** 0002: is the entity with this EID there? */
export interface VehicleIdentificationRequestEid {
  type: typeof PayloadType.vehicleIdentificationRequestEid;
  eid: Uint8Array;
}

export const vehicleIdentificationRequestEid: PayloadCodec<VehicleIdentificationRequestEid> = {
  name: "vehicle identification request with EID",
  transports: ["udp"],
  fits: exactly(ID_LENGTH),
  decode: (reader) => ({
    type: PayloadType.vehicleIdentificationRequestEid,
    eid: reader.bytes("EID", ID_LENGTH),
  }),
  encode: (message) => [fixed("EID", message.eid, ID_LENGTH)],
};

/** 0003: is the vehicle with this VIN there? */
export interface VehicleIdentificationRequestVin {
  type: typeof PayloadType.vehicleIdentificationRequestVin;
  vin: string;
}

export const vehicleIdentificationRequestVin: PayloadCodec<VehicleIdentificationRequestVin> = {
  name: "vehicle identification request with VIN",
  transports: ["udp"],
  fits: exactly(VIN_LENGTH),
  decode: (reader) => ({
    type: PayloadType.vehicleIdentificationRequestVin,
    vin: reader.ascii("VIN", VIN_LENGTH),
  }),
  encode: (message) => [vinBytes(message.vin)],
};

/** 0004: an entity announces itself or answers one of the requests. */
export interface VehicleAnnouncement {
  type: typeof PayloadType.vehicleAnnouncement;
  vin: string;
  logicalAddress: number;
  eid: Uint8Array;
  gid: Uint8Array;
  furtherAction: number;
  syncStatus?: number;
}

export const vehicleAnnouncement: PayloadCodec<VehicleAnnouncement> = {
  name: "vehicle announcement",
  transports: ["udp"],
  fits: exactly(32, 33),
  decode: (reader) => ({
    type: PayloadType.vehicleAnnouncement,
    vin: reader.ascii("VIN", VIN_LENGTH),
    logicalAddress: reader.u16("logical address"),
    eid: reader.bytes("EID", ID_LENGTH),
    gid: reader.bytes("GID", ID_LENGTH),
    furtherAction: reader.u8("further action"),
    ...(reader.remaining > 0 && { syncStatus: reader.u8("sync status") }),
  }),
  encode(message) {
    const writer = byteWriter()
      .bytes(vinBytes(message.vin))
      .u16(message.logicalAddress)
      .bytes(fixed("EID", message.eid, ID_LENGTH))
      .bytes(fixed("GID", message.gid, ID_LENGTH))
      .u8(message.furtherAction);
    if (message.syncStatus !== undefined) writer.u8(message.syncStatus);
    return [writer.done()];
  },
};

/** 4001: how many sockets does the entity have left? */
export interface EntityStatusRequest {
  type: typeof PayloadType.entityStatusRequest;
}

export const entityStatusRequest = empty<EntityStatusRequest>("entity status request", {
  type: PayloadType.entityStatusRequest,
});

/** 4002: node type 0x00 gateway or 0x01 node; sizes in bytes. */
export interface EntityStatusResponse {
  type: typeof PayloadType.entityStatusResponse;
  nodeType: number;
  maxSockets: number;
  openSockets: number;
  maxDataSize?: number;
}

export const entityStatusResponse: PayloadCodec<EntityStatusResponse> = {
  name: "entity status response",
  transports: ["udp"],
  fits: exactly(3, 7),
  decode: (reader) => ({
    type: PayloadType.entityStatusResponse,
    nodeType: reader.u8("node type"),
    maxSockets: reader.u8("maximum of open sockets"),
    openSockets: reader.u8("open sockets"),
    ...(reader.remaining > 0 && { maxDataSize: reader.u32("maximum data size") }),
  }),
  encode(message) {
    const writer = byteWriter().u8(message.nodeType).u8(message.maxSockets).u8(message.openSockets);
    if (message.maxDataSize !== undefined) writer.u32(message.maxDataSize);
    return [writer.done()];
  },
};

/** 4003: may the vehicle be diagnosed now? */
export interface PowerModeRequest {
  type: typeof PayloadType.powerModeRequest;
}

export const powerModeRequest = empty<PowerModeRequest>("diagnostic power mode request", {
  type: PayloadType.powerModeRequest,
});

/** 4004: mode 0x00 not ready, 0x01 ready, 0x02 not supported. */
export interface PowerModeResponse {
  type: typeof PayloadType.powerModeResponse;
  mode: number;
}

export const powerModeResponse: PayloadCodec<PowerModeResponse> = {
  name: "diagnostic power mode response",
  transports: ["udp"],
  fits: exactly(1),
  decode: (reader) => ({
    type: PayloadType.powerModeResponse,
    mode: reader.u8("diagnostic power mode"),
  }),
  encode: (message) => [Uint8Array.of(message.mode)],
};

function empty<Message>(name: string, message: Message): PayloadCodec<Message> {
  return {
    name,
    transports: ["udp"],
    fits: exactly(0),
    decode: () => message,
    encode: () => [],
  };
}

function vinBytes(vin: string): Uint8Array {
  return fixed("VIN", Buffer.from(vin, "latin1"), VIN_LENGTH);
}

function fixed(field: string, bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes;
  throw new RangeError(`${field} needs ${length} bytes, got ${bytes.length}`);
}
