/** One DER element (X.690 §10): tag, definite length, content. */
export function der(tag: number, ...content: Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.of(tag), derLength(length), ...content]);
}

export function derSequenceOf(...content: Uint8Array[]): Buffer {
  return der(0x30, ...content);
}

/** A non-negative INTEGER. @param value a number, or its bytes, most significant first, as hex */
export function derInteger(value: number | bigint | string): Buffer {
  const hex = typeof value === "string" ? value : value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  const first = bytes.findIndex((byte) => byte !== 0);
  const significant = first === -1 ? Buffer.of(0) : bytes.subarray(first);
  // A leading bit would make it negative.
  const sign = (significant[0] ?? 0) >= 0x80 ? Buffer.of(0) : Buffer.alloc(0);
  return der(0x02, sign, significant);
}

/** An OBJECT IDENTIFIER from the hex of its content. */
export function derOidOf(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

/** A BIT STRING of whole bytes. */
export function derBits(bytes: Uint8Array): Buffer {
  return der(0x03, Buffer.of(0), bytes);
}

/** A time as RFC 5280 §5.1.2.4 demands: UTCTime through 2049, GeneralizedTime after; to the second. */
export function derTime(time: Date): Buffer {
  const digits = time.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return time.getUTCFullYear() < 2050
    ? der(0x17, Buffer.from(digits.slice(2)))
    : der(0x18, Buffer.from(digits));
}

function derLength(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.of(0x80 | bytes.length), bytes]);
}
