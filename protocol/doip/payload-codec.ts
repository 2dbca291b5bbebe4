import type { ByteReader } from "#protocol/bytes/reader.ts";

export type Transport = "udp" | "tcp";

/** How one payload type looks on the wire: its lengths, and encode beside decode. */
export interface PayloadCodec<Message> {
  name: string;
  transports: readonly Transport[];
  /** Whether a payload of this many bytes can be of this type; asked before the payload is read. */
  fits(length: number): boolean;
  decode(reader: ByteReader): Message;
  /** The payload in pieces, so that user data is never copied. */
  encode(message: Message): Uint8Array[];
}

export function exactly(...lengths: number[]): (length: number) => boolean {
  return (length) => lengths.includes(length);
}

export function atLeast(minimum: number): (length: number) => boolean {
  return (length) => length >= minimum;
}
