/** Packets without a link layer: each begins with its IP header. */
const LINKTYPE_RAW = 101;

const BLOCK = { section: 0x0a0d0d0a, interface: 1, packet: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const COMMENT = 1;

/** Longest comment, in bytes: far less than an option can hold. */
const MAX_COMMENT = 1024;

/**
 * What a pcapng file of IP packets begins with: one section with one interface whose times are in
 * microseconds (IETF draft-ietf-opsawg-pcapng, §4.1 and §4.2).
 */
export function captureHeader(): Buffer {
  const section = Buffer.alloc(16);
  section.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  section.writeUInt16LE(1, 4);
  section.writeUInt16LE(0, 6);
  // The length of the section is not known yet.
  section.writeBigInt64LE(-1n, 8);
  const device = Buffer.alloc(8);
  device.writeUInt16LE(LINKTYPE_RAW, 0);
  return Buffer.concat([block(BLOCK.section, section), block(BLOCK.interface, device)]);
}

/** One packet of a pcapng file, an Enhanced Packet Block (§4.3), with a comment for its reader. */
export function capturedPacket(packet: Uint8Array, at: Date, comment = ""): Buffer {
  const fixed = Buffer.alloc(20);
  const micros = BigInt(at.getTime()) * 1000n;
  fixed.writeUInt32LE(Number(micros >> 32n), 4);
  fixed.writeUInt32LE(Number(micros & 0xffff_ffffn), 8);
  fixed.writeUInt32LE(packet.length, 12);
  fixed.writeUInt32LE(packet.length, 16);
  return block(BLOCK.packet, fixed, padded(packet), options(comment));
}

function options(comment: string): Buffer {
  if (comment === "") return Buffer.alloc(0);
  const text = Buffer.from(comment, "utf8").subarray(0, MAX_COMMENT);
  const head = Buffer.alloc(4);
  head.writeUInt16LE(COMMENT, 0);
  head.writeUInt16LE(text.length, 2);
  const end = Buffer.alloc(4);
  return Buffer.concat([head, padded(text), end]);
}

/** Type, total length, body, total length once more. */
function block(type: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length + 12;
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, body, tail]);
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
