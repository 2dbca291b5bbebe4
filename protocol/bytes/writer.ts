/** Collects big-endian fields and yields one buffer. Chains: `bytes().u8(1).u16(2).done()`. */
export interface ByteWriter {
  u8(value: number): ByteWriter;
  u16(value: number): ByteWriter;
  u32(value: number): ByteWriter;
  /** A big-endian unsigned integer in exactly `length` bytes (1 to 6). */
  uint(value: number, length: number): ByteWriter;
  bytes(value: Uint8Array): ByteWriter;
  done(): Buffer;
}

/** @throws RangeError when a value does not fit its field. */
export function byteWriter(): ByteWriter {
  const parts: Uint8Array[] = [];
  const writer: ByteWriter = {
    u8: (value) => writer.uint(value, 1),
    u16: (value) => writer.uint(value, 2),
    u32: (value) => writer.uint(value, 4),
    uint(value, length) {
      const field = Buffer.alloc(length);
      field.writeUIntBE(value, 0, length);
      parts.push(field);
      return writer;
    },
    bytes(value) {
      parts.push(value);
      return writer;
    },
    done: () => Buffer.concat(parts),
  };
  return writer;
}
