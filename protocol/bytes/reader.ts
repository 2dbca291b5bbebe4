/** Why a {@link ByteReader} refused its input. */
export type ByteErrorCode = "BYTES_TRUNCATED" | "BYTES_TRAILING";

/** A read past the end, or bytes left over where none may be. Names the field that was being read. */
export class ByteError extends Error {
  readonly code: ByteErrorCode;
  readonly field: string;

  constructor(code: ByteErrorCode, field: string, detail: string) {
    super(`${field}: ${detail}`);
    this.name = "ByteError";
    this.code = code;
    this.field = field;
  }
}

/**
 * Reads big-endian fields from a bounded slice. Every read names its field, so that an error says
 * what was missing; nothing is copied; a child is bounded to its own bytes.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(field, 1));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(field, 2));
  }

  u24(field: string): number {
    return this.uint(field, 3);
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(field, 4));
  }

  /** A big-endian unsigned integer of 1 to 6 bytes (the range a JS number holds exactly). */
  uint(field: string, length: number): number {
    const start = this.#take(field, length);
    let value = 0;
    for (let i = 0; i < length; i++) value = value * 256 + this.#view.getUint8(start + i);
    return value;
  }

  /** `length` bytes as a view on the input. */
  bytes(field: string, length: number): Uint8Array {
    const start = this.#take(field, length);
    return this.#bytes.subarray(start, start + length);
  }

  /** All bytes that are left, as a view on the input. */
  rest(): Uint8Array {
    return this.bytes("rest", this.remaining);
  }

  ascii(field: string, length: number): string {
    return Buffer.from(this.bytes(field, length)).toString("latin1");
  }

  /** A reader over the next `length` bytes alone. */
  child(field: string, length: number): ByteReader {
    return new ByteReader(this.bytes(field, length));
  }

  /** Refuses bytes that no field claimed. */
  end(what: string): void {
    if (this.remaining !== 0) {
      throw new ByteError("BYTES_TRAILING", what, `${this.remaining} bytes after the last field`);
    }
  }

  #take(field: string, length: number): number {
    if (length < 0 || length > this.remaining) {
      throw new ByteError(
        "BYTES_TRUNCATED",
        field,
        `needs ${length} bytes, ${this.remaining} are left`,
      );
    }
    const start = this.#at;
    this.#at += length;
    return start;
  }
}
