/** Upper-case hex without separators, as diagnostic tools print it. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString("hex")
    .toUpperCase();
}

/**
 * Bytes of a hex string. Accepts either case, an optional `0x` prefix and blanks between bytes
 * (`22 F1 90`, `0x22f190`).
 * @returns undefined when the text has an odd number of digits or anything that is not hex.
 */
export function fromHex(text: string): Buffer | undefined {
  const digits = text.trim().replace(/^0x/i, "").replace(/\s+/g, "");
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits)) return undefined;
  return Buffer.from(digits, "hex");
}
