/** One side of a connection: an IPv4 address and a port. */
export interface Endpoint {
  address: string;
  port: number;
}

/** A TCP connection that never took place, as the packets that it would have been made of. */
export interface TcpStream {
  /** SYN, SYN-ACK, ACK. */
  open(): Buffer[];
  /** Bytes that one side sends, in segments that fit into packets. */
  send(from: "client" | "server", bytes: Uint8Array): Buffer[];
  /** FIN from the client, and its answers. */
  close(): Buffer[];
}

const FLAG = { fin: 0x01, syn: 0x02, push: 0x08, ack: 0x10 } as const;
const IP_HEADER = 20;
const TCP_HEADER = 20;
const PROTOCOL_TCP = 6;
const TTL = 64;
const WINDOW = 0xffff;

/** What fits beside both headers into an Ethernet frame. */
const SEGMENT = 1460;

/** Writes what two sides say to each other as IPv4 and TCP (RFC 791, RFC 9293), for a capture file. */
export function tcpStream(client: Endpoint, server: Endpoint): TcpStream {
  const sides = {
    client: { endpoint: client, next: 1 },
    server: { endpoint: server, next: 1 },
  };

  function segment(from: "client" | "server", flags: number, data: Uint8Array = new Uint8Array(0)) {
    const [own, peer] =
      from === "client" ? [sides.client, sides.server] : [sides.server, sides.client];
    const isFirst = (flags & FLAG.syn) !== 0 && (flags & FLAG.ack) === 0;
    const numbers = { sequence: own.next, acknowledged: isFirst ? 0 : peer.next };
    // SYN and FIN take a number each.
    const taken = data.length + ((flags & (FLAG.syn | FLAG.fin)) === 0 ? 0 : 1);
    own.next = (own.next + taken) >>> 0;
    return packet(own.endpoint, peer.endpoint, { ...numbers, flags, data });
  }

  return {
    open: () => [
      segment("client", FLAG.syn),
      segment("server", FLAG.syn | FLAG.ack),
      segment("client", FLAG.ack),
    ],
    send(from, bytes) {
      const packets: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += SEGMENT) {
        packets.push(segment(from, FLAG.push | FLAG.ack, bytes.subarray(at, at + SEGMENT)));
      }
      return packets;
    },
    close: () => [
      segment("client", FLAG.fin | FLAG.ack),
      segment("server", FLAG.fin | FLAG.ack),
      segment("client", FLAG.ack),
    ],
  };
}

interface Segment {
  sequence: number;
  acknowledged: number;
  flags: number;
  data: Uint8Array;
}

function packet(from: Endpoint, to: Endpoint, segment: Segment): Buffer {
  const { data } = segment;
  const addresses = Buffer.concat([ipv4(from.address), ipv4(to.address)]);
  const tcp = Buffer.alloc(TCP_HEADER);
  tcp.writeUInt16BE(from.port, 0);
  tcp.writeUInt16BE(to.port, 2);
  tcp.writeUInt32BE(segment.sequence, 4);
  tcp.writeUInt32BE(segment.acknowledged, 8);
  tcp.writeUInt8((TCP_HEADER / 4) << 4, 12);
  tcp.writeUInt8(segment.flags, 13);
  tcp.writeUInt16BE(WINDOW, 14);
  const pseudo = Buffer.from([0, PROTOCOL_TCP, 0, 0]);
  pseudo.writeUInt16BE(TCP_HEADER + data.length, 2);
  tcp.writeUInt16BE(checksum(Buffer.concat([addresses, pseudo, tcp, data])), 16);

  const ip = Buffer.alloc(IP_HEADER - addresses.length);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(IP_HEADER + TCP_HEADER + data.length, 2);
  ip.writeUInt8(TTL, 8);
  ip.writeUInt8(PROTOCOL_TCP, 9);
  ip.writeUInt16BE(checksum(Buffer.concat([ip, addresses])), 10);
  return Buffer.concat([ip, addresses, tcp, data]);
}

/** @throws RangeError for anything else than an IPv4 address */
function ipv4(address: string): Buffer {
  const bytes = address.split(".").map(Number);
  if (bytes.length !== 4 || !bytes.every((byte) => Number.isInteger(byte) && byte >> 8 === 0)) {
    throw new RangeError(`${address} is no IPv4 address`);
  }
  return Buffer.from(bytes);
}

/** The Internet checksum (RFC 1071). */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
